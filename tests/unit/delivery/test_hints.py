"""A server may ask for a longer wait, within bounds; protocol item 111."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.delivery.schedule import next_try
from tests.unit.delivery.judging import BACKOFF, NOW, after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.7.1 Greylisted, please try again in 300 seconds", 300),
        ("4.2.0 Greylisted for 4 minutes", 0),  # says how long, not what to do: no hint
        ("Greylisting in action, please retry in 5 minutes", 300),
        ("4.7.1 Try again later, retry after 90s.", 90),
        ("Too many connections, wait at least 2 hours", 7_200),
        ("4.7.0 Throttled. Please try again after 1 hour.", 3_600),
        ("Delayed 15 min", 900),
        ("TRY AGAIN IN 10 SEC", 10),
        ("please wait 3 h", 10_800),
        ("first line\n4.7.1 second line: try again in 20 seconds", 20),
        # Bounded: a server may not silence a mail for a year.
        ("try again in 999999999 hours", 21_600),
        ("retry after 31536000 seconds", 21_600),
        ("retry after 0 seconds", 0),
        # Digits that are no hint.
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
        ("try again in 1234567890123 seconds", 0),  # no number anybody means
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
    moment = next_try(BACKOFF, attempts=attempts, now=NOW, chance=0.5, reply_text=text)
    assert moment == after(seconds)


@given(st.text())
def test_no_text_breaks_it_or_its_bounds(text: str) -> None:
    assert 0 <= BACKOFF.hinted(f"try again in {text} seconds") <= BACKOFF.hint_max
