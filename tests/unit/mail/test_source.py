"""Messages that other apps rendered: made fit, known by their facts, or refused."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.source import (
    SourceError,
    longest_line,
    normalize,
    replace_date,
    strip_bcc,
    validate_source,
)

HEAD = b"From: a@x.org\nDate: Sun, 1 Mar 2026 12:30:00 +0100\nMessage-ID: <1@x.org>\n"


def source(*fields: bytes, body: bytes = b"Hello\n") -> bytes:
    return normalize(HEAD + b"".join(field + b"\n" for field in fields) + b"\n" + body)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"A: b\n\nc\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\n\nc", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\n\nc\rd\r\ne\n\nf\r\r\n", b"A: b\r\n\r\nc\r\nd\r\ne\r\n\r\nf\r\n\r\n"),
        (b"A: b\r\n\r\nc\nd\n\re", b"A: b\r\n\r\nc\r\nd\r\n\r\ne\r\n"),
        (b"A: b\n", b"A: b\r\n"),
    ],
    ids=["LF", "CRLF", "no last end", "mixed body", "mixed body below CRLF", "header alone"],
)
def test_every_line_ends_in_crlf_once(given: bytes, expected: bytes) -> None:
    """Protocol item 1."""
    assert normalize(given) == expected
    assert normalize(expected) == expected


@given(st.binary().map(lambda data: b"A: b\r\n\r\n" + data.replace(b"\0", b"")))
def test_no_lone_cr_or_lf_is_left_and_nothing_else_changes(data: bytes) -> None:
    """Protocol items 1 and 66."""
    normal = normalize(data)

    assert normal.count(b"\r") == normal.count(b"\n") == normal.count(b"\r\n")
    assert normal.translate(None, b"\r\n") == data.translate(None, b"\r\n")


@pytest.mark.parametrize(
    "given",
    [
        b"Subject: a\r\nBcc: b@x.org\nTo: c@x.org\n\nd\n",
        b"Subject: a\nBcc: b@x.org\r\nTo: c@x.org\r\n\r\nd\r\n",
        b"Subject: a\rBcc: b@x.org\n\nd\n",
        b"Subject: a\rBcc: b@x.org\r\n\r\nd\r\n",
        b"Subject: a\r\rBcc: b@x.org\r\n\r\nd\r\n",
        b"Subject: a\n\r\nevil\nTo: c@x.org\n\nd\n",
        b"Subject: a\0b\n\nd\n",
        b"Subject: a\n\nNUL in the body \0\n",
    ],
    ids=["CRLF among LF", "LF among CRLF", "CR among LF", "CR among CRLF", "two CR",
         "an early end", "NUL", "NUL below"],
)  # fmt: skip
def test_it_refuses_a_line_break_smuggled_into_a_header(given: bytes) -> None:
    """Protocol item 7."""
    with pytest.raises(SourceError):
        normalize(given)


def test_it_returns_the_facts_for_sending_and_listing() -> None:
    data = source(b"Subject: =?utf-8?q?Z=C3=B6e?=\n =?utf-8?q?s?=", body="Größe\n".encode())

    facts = validate_source(data)

    assert facts.size == len(data)
    assert facts.is_8bit
    assert not facts.needs_smtputf8
    assert facts.message_id == "<1@x.org>"
    assert facts.subject == "Zöes"
    assert facts.sha256 == hashlib.sha256(data).hexdigest()


def test_utf8_in_a_header_needs_smtputf8() -> None:
    facts = validate_source(source("Subject: Zöe".encode()))

    assert (facts.needs_smtputf8, facts.subject) == (True, "Zöe")


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (b"Sun, 01 Mar 2026 12:30:00 -0330", datetime(2026, 3, 1, 16, 0, tzinfo=UTC)),
        (b"1 Mar 2026 12:30:00 +0000", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        (b"Sun, 1 Mar 2026 12:30:00 -0000", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        (b"Sun, 1 Mar 2026 12:30 GMT (comment)", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        (b"Sun, 1 Mar 2026 12:30:00", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_date_is_replaced_if_it_is_the_expected_one(value: bytes, date: datetime) -> None:
    given = normalize(b"From: a@x.org\nDate: " + value + b"\n\nDate: in the body\n")
    later = datetime(2026, 3, 2, 9, 0, tzinfo=timezone(timedelta(hours=1)))

    replaced = replace_date(given, date.replace(microsecond=7), later)

    expected = b"From: a@x.org\r\nDate: Mon, 02 Mar 2026 09:00:00 +0100\r\n"
    assert replaced == expected + b"\r\nDate: in the body\r\n"
    assert replace_date(given, date + timedelta(seconds=1), later) == given


@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 31 Feb 2026 12:30:00 +0000",
        b"Sun, 1 Mar 2026 12:30:00 +9999",
        b"yesterday",
        b"",
    ],
)
def test_a_date_that_cannot_be_read_is_not_replaced(value: bytes) -> None:
    given = normalize(b"From: a@x.org\nDate: " + value + b"\n\n")
    date = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

    assert replace_date(given, date, date) == given


WRONG = {
    "no header": (b"\n\nbody", "not a header field"),
    "prose": (b"From: a@x.org\nHello Bob\n\nbody", "'Hello Bob'"),
    "a mailbox line": (b"From a@x.org Sun Mar 1\nFrom: a@x.org\n\n", "'From a@x.org"),
    "a blank before the colon": (b"From: a@x.org\nSubject : a\n\n", "'Subject : a'"),
    "a name outside ASCII": ("From: a@x.org\nX-Ä: a\n\n".encode(), "not a header field"),
    "a first line that continues": (b" a\nFrom: a@x.org\n\n", "' a'"),
    "no From": (b"Subject: a\n\n", "no From"),
    "two From": (b"From: a@x.org\nfrom: b@x.org\n\n", "2 From headers"),
    "two dates": (HEAD + b"DATE: x\n\n", "2 Date headers"),
    "two ids": (HEAD + b"Message-Id: <2@x.org>\n\n", "2 Message-Id headers"),
    "two subjects": (HEAD + b"Subject: a\nSubject: b\n\n", "2 Subject headers"),
    "many authors": (b"From: a@x.org, B <b@x.org>\n\n", "no Sender"),
    "bytes of no charset": (HEAD + b"Subject: \xe9\n\n", "not UTF-8"),
    "a long header line": (HEAD + b"X-A: " + b"a" * 994 + b"\n\n", "999 bytes"),
    "a long body line": (HEAD + b"\n" + b"a" * 999, "999 bytes"),
}


@pytest.mark.parametrize(("given", "problem"), WRONG.values(), ids=WRONG)
def test_it_refuses_what_cannot_be_sent(given: bytes, problem: str) -> None:
    """Protocol items 2, 3, 5 and 8."""
    with pytest.raises(SourceError) as raised:
        validate_source(normalize(given))

    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Received: a", b"Received: b"),
        (b"X-Empty:", b"X-Folded: a\n\tb\n c"),
        (b"Sender: b@x.org",),
        (b"X-Long: " + b"a" * 990,),
    ],
)
def test_it_takes_what_is_odd_but_allowed(fields: tuple[bytes, ...]) -> None:
    assert validate_source(source(*fields)).size


def test_a_comma_in_a_name_does_not_make_a_second_author() -> None:
    given = normalize(b'From: "Lee, Ann" <a@x.org>\n\n')

    assert validate_source(given).message_id == ""


def test_no_bcc_is_left() -> None:
    """Protocol item 6."""
    given = source(b"Bcc: b@x.org,\n c@x.org", b"X-Bcc: kept", b"RESENT-BCC: d@x.org", b"bcc:",
                   body=b"Bcc: stays in the body\n")  # fmt: skip

    assert strip_bcc(given) == source(b"X-Bcc: kept", body=b"Bcc: stays in the body\n")
    assert strip_bcc(source()) == source()


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    try:
        normal = normalize(data)
        validate_source(normal)
    except SourceError:
        return
    assert longest_line(normal)[0] <= 998


def test_it_finds_the_longest_line() -> None:
    assert longest_line(b"a: b\r\n\r\n12345\r\n54321\r\n1\r\n") == (5, 3)
