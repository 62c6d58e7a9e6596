"""A client's transcript becomes a scenario with the same replies."""

import pytest

from outbox.testing.replay import TranscriptError, scenario_text
from outbox.testing.scenario import parse_scenario


def replayed(*lines: str) -> list[str]:
    """Each line is "C text" or so; the scenario's lines without the heading."""
    text = scenario_text([[position, line[0], line[2:]] for position, line in enumerate(lines)])
    parse_scenario(text)
    return text.splitlines()[1:]


BEGUN = [
    "S 220 mx.example.org ESMTP",
    "C EHLO me",
    "S 250-mx.example.org\n250-SIZE 99\n250 PIPELINING",
]
TERMS = [
    "name mx.example.org",
    "offer SIZE 99, PIPELINING",
    "at greeting: 220 mx.example.org ESMTP",
]


def test_the_capabilities_come_from_the_ehlo_reply() -> None:
    assert replayed(*BEGUN) == TERMS


def test_lines_of_a_reply_may_come_one_by_one() -> None:
    assert (
        replayed(*BEGUN[:2], "S 250-mx.example.org", "S 250-SIZE 99", "S 250 PIPELINING") == TERMS
    )


def test_replies_of_a_group_go_to_their_commands() -> None:
    assert replayed(
        *BEGUN,
        *("C MAIL FROM:<a@b>", "C RCPT TO:<c@d>", "C RCPT TO:<e@f>", "C DATA"),
        *("S 250 2.1.0 sender", "S 550 5.1.1 no", "S 250 2.1.5 yes", "S 354 go"),
        *("C <2,048 bytes, sha256 ab12…>", "C .", "S 451 4.3.0 later"),
    ) == [
        *TERMS,
        "at mail of message 1: 250 2.1.0 sender",
        "at rcpt 1 of message 1: 550 5.1.1 no",
        "at rcpt 2 of message 1: 250 2.1.5 yes",
        "at data of message 1: 354 go",
        "at dot of message 1: 451 4.3.0 later",
    ]


def test_the_second_message_is_distinguished_from_the_first() -> None:
    each = ["C MAIL FROM:<a@b>", "C RCPT TO:<c@d>", "C BDAT 2048 LAST", "C <2,048 bytes>"]
    replies = ["S 250 a", "S 250 b", "S 250 c"]
    assert replayed(*BEGUN, *each, *replies, *each, *replies)[-3:] == [
        "at mail of message 2: 250 a",
        "at rcpt 1 of message 2: 250 b",
        "at bdat 1 of message 2: 250 c",
    ]


def test_masked_logins_and_tls_are_followed() -> None:
    assert replayed(
        *("S 220 a", "C EHLO me", "S 250-a\n250 STARTTLS", "C STARTTLS", "S 220 go"),
        *("- TLSv1.3", "C EHLO me", "S 250-a\n250 AUTH LOGIN", "C AUTH LOGIN", "S 334 VXNlcg=="),
        *("C ***", "S 334 UGFzcw==", "C ***", "S 535 5.7.8 no"),
    ) == [
        *("name a", "offer STARTTLS", "offer after starttls AUTH LOGIN"),
        *("at greeting: 220 a", "at starttls: 220 go"),
        *("at auth 1: 334 VXNlcg==", "at auth 2: 334 UGFzcw==", "at auth 3: 535 5.7.8 no"),
    ]


@pytest.mark.parametrize(
    ("note", "action"),
    [("- closed by the server", "close"), ("- the read timed out", "black-hole")],
)
def test_a_missing_reply_stays_missing_in_a_replay(note: str, action: str) -> None:
    assert replayed(*BEGUN, "C MAIL FROM:<a@b>", note)[-1] == f"at mail of message 1: {action}"


def test_a_reply_of_several_lines_stays_one() -> None:
    assert replayed("S 554-no\n554 mail") == ["at greeting: 554 no\\nmail"]


@pytest.mark.parametrize("said", ["hello", "250-a\n550 b", "25"])
def test_an_invalid_reply_is_replayed_byte_for_byte(said: str) -> None:
    lines = "\\r\\n".join(said.split("\n"))
    assert replayed(*(f"S {line}" for line in said.split("\n"))) == [
        f'at greeting: send "{lines}\\r\\n"'
    ]


def test_an_unsolicited_reply_after_a_message_is_kept() -> None:
    sent = ["C MAIL FROM:<a@b>", "S 250 a", "C DATA", "S 354 b", "C .", "S 250 c"]
    assert replayed(*BEGUN, *sent, "S 421 idle")[-1] == "at idle of message 1: 421 idle"
    assert replayed("S 220 a", "S 250 b")[-1].startswith("# not replayed")


@pytest.mark.parametrize("entry", [[1, "C"], [1, "X", "a"], [1, "C", 2], "abc"])
def test_an_invalid_transcript_is_rejected(entry: list[object]) -> None:
    with pytest.raises(TranscriptError):
        scenario_text([entry])
