"""A server may ask for a longer wait, within bounds; protocol item 111."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.delivery.judging import BACKOFF, NOW, after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.7.1 Greylisted, please try again in 300 seconds", 300),
        ("4.2.0 Greylisted for 4 minutes", 240),
        ("Greylisting in action, please retry in 5 minutes", 300),
        ("4.7.1 Try again later, retry after 90s.", 90),
        ("Too many connections, wait at least 2 hours", 7_200),
        ("4.7.0 Throttled. Please try again after 1 hour.", 3_600),
        ("Delayed 15 min", 900),
        ("TRY AGAIN IN 10 SEC", 10),
        ("please wait 3 h", 10_800),
        ("first line\n4.7.1 second line: try again in 20 seconds", 20),
        # The words of greylisting servers.
        ("Greylisting in action, please come back in 180 seconds", 180),
        ("Greylisting in action, please come back in 00:04:58", 298),
        ("Greylisted for 300 seconds", 300),
        ("You have been greylisted for 5 minutes", 300),
        ("Grey-listed: 287 seconds left", 287),
        ("4.7.1 Recipient address rejected: Greylisted, retry in 00:05:00", 300),
        ("Message temporarily deferred for 60 minutes", 3_600),
        ("Temporarily blocked for 1 hour", 3_600),
        ("Please try again later (in about 10 minutes)", 600),
        ("Next attempt in 90 sec.", 90),
        ("retry your delivery in 5min", 300),
        ("Retry-After: 120 seconds", 120),
        ("come back in an hour", 3_600),
        ("try again in 5 minutes and 30 seconds", 330),
        ("retry after 1h 30m", 5_400),
        ("wait 2m5s", 125),
        ("try again in 1.5 hours", 5_400),
        ("wait 5 to 10 minutes", 600),
        ("try again in 5-10 minutes", 600),
        ("4.7.1 Greylisted, please try again in\n4.7.1 300 seconds", 300),
        ("4.7.1 Limit of 20 messages per 60 minutes reached.\n4.7.1 Retry in 15 minutes", 900),
        ("try again in 2 days", 21_600),
        # A limit, or a time that has passed.
        ("Too many errors after 10 minutes of idling", 0),
        ("Limit of 20 messages in 10 minutes", 0),
        ("limit 100 per 60 minutes", 0),
        ("4.7.0 At most 100 messages per 60 minutes, try again later", 0),
        ("Try again later: limit of 100 messages per 60 minutes", 0),
        ("timeout after waiting 300 seconds", 0),
        ("4.4.2 Idle for more than 300 seconds", 0),
        ("retry after 500 ms", 0),
        ("try again after 10:30:00 UTC", 0),
        # Bounded: a server may not delay a message for a year.
        ("try again in 999999999 hours", 21_600),
        ("retry after 31536000 seconds", 21_600),
        ("retry after 0 seconds", 0),
        # Digits that do not state a delay.
        ("4.7.1 try again later", 0),
        ("4.7.1 Service unavailable, see rfc5321 section 4 hours of fun", 0),
        ("try again (in reply to end of DATA command) id 4F2C1 12 servers", 0),
        ("450 4.7.25 client host [192.0.2.7] cannot find your hostname, try again", 0),
        ("retry after 3 messages", 0),
        ("wait for 5 mailboxes", 0),
        ("try again after 2026-03-29 10 h", 0),
        ("retry timeout exceeded after 4d 3h", 0),
        ("message size 4 s; try later", 0),
        ("await 30 seconds", 0),  # another word
        ("try again in 1234567890123 seconds", 0),  # not a plausible number
        ("try again in ٣٠٠ seconds", 0),  # digits, but not of SMTP
        ("", 0),
    ],
)
def test_it_reads_hints_and_nothing_else(text: str, seconds: float) -> None:
    assert BACKOFF.hinted(text) == seconds


@pytest.mark.parametrize(
    ("text", "attempts", "seconds"),
    [
        ("try again in 300 seconds", 1, 300),  # longer than our own first wait
        ("try again in 5 seconds", 1, 60),  # shorter: ours stands
        ("try again in 300 seconds", 9, 14_400),
    ],
)
def test_a_hint_lengthens_our_wait_and_never_shortens_it(
    text: str, attempts: int, seconds: float
) -> None:
    moment = BACKOFF.next_attempt_at(NOW, attempts, 0.5, text)
    assert moment == after(seconds)


@given(st.text())
def test_no_text_breaks_it_or_its_bounds(text: str) -> None:
    assert 0 <= BACKOFF.hinted(f"try again in {text} seconds") <= BACKOFF.hint_max


@pytest.mark.parametrize(
    "text",
    ["a", "again ", "wait in ", "wait 9", "retry (", "greylist", "1:", "again,in an 9 ", "\n"],
)
def test_a_reply_of_200_kb_is_read_at_once(text: str) -> None:
    """The server chooses the text; a search in quadratic time would take minutes."""
    began = time.process_time()
    BACKOFF.hinted(text * (200_000 // len(text)))
    assert time.process_time() - began < 0.5
