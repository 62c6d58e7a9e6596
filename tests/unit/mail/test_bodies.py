"""Bodies arrive as they were written: any text, any file, whatever relays do to lines."""

import re
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.displayed import text_and_html
from outbox.mail.mime_writer import AttachmentPart, render
from outbox.mail.transfer_encodings import decode_base64, encode_body
from tests.unit.mail.samples import compose, modern

any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
lines = st.lists(
    any_text | st.sampled_from([".", "..", "From me", "From: x", " ", "-- ", "a" * 5000, "="]),
    max_size=20,
).map("\n".join)
bodies = any_text | lines


def as_lines(text: str) -> str:
    """The text after encoding: one kind of line break, also after the last line."""
    text = re.sub(r"\r\n|\r|\n", "\n", text)
    return text if text.endswith("\n") or not text else text + "\n"


@given(bodies)
def test_a_text_comes_back_from_two_parsers(text: str) -> None:
    """Protocol item 14: the charset declared is the charset used."""
    payload = modern(text=text).get_payload(decode=True)

    assert isinstance(payload, bytes)
    assert payload.decode("utf-8").replace("\r\n", "\n") == as_lines(text)
    assert text_and_html(render(compose(text=text)))[0] == as_lines(text)


@given(bodies)
def test_every_line_ends_in_crlf_and_is_7_bit_and_short(text: str) -> None:
    """Protocol items 1, 2 and 13."""
    source = render(compose(text=text, html=text or "x"))

    assert source.isascii()
    assert b"\0" not in source
    assert source.endswith(b"\r\n")
    assert source.count(b"\r") == source.count(b"\n") == source.count(b"\r\n")
    assert max(map(len, source.split(b"\r\n"))) <= 76


@given(bodies)
def test_no_line_of_a_body_starts_with_a_dot_or_from(text: str) -> None:
    """Protocol item 13: nothing for a relay to change, though stuffing would undo the dot."""
    _, data = encode_body(text)

    assert not re.search(rb"(?:\A|\n)(?:\.|From )", data)
    assert not re.search(rb"[ \t]\r\n", data)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello Bob.\n", "7bit"),
        ("", "7bit"),
        ("Zoë was here.\n" * 20, "quoted-printable"),
        ("a" * 77, "quoted-printable"),
        ("-- \nBob", "quoted-printable"),
        ("From me", "quoted-printable"),
        ("日本語" * 20, "base64"),
    ],
)
def test_it_chooses_the_encoding_that_reads_best(text: str, encoding: str) -> None:
    assert encode_body(text)[0] == encoding


@given(st.binary(max_size=2000))
def test_a_file_comes_back_byte_for_byte(data: bytes) -> None:
    part = AttachmentPart(name="a.bin", content_type="application/octet-stream", data=data)

    assert [part.get_content() for part in modern(attachments=[part]).iter_attachments()] == [data]


def test_a_text_file_keeps_its_line_ends_and_charset() -> None:
    part = AttachmentPart(
        name="a.ics",
        content_type="text/calendar; method=REQUEST; charset=utf-8",
        data="é\n".encode(),
    )

    found = next(modern(attachments=[part]).iter_attachments())

    assert found.get_payload(decode=True) == "é\n".encode()
    assert found["Content-Type"].params == {"method": "REQUEST", "charset": "utf-8"}


@pytest.mark.parametrize(
    ("data", "charset"), [("é".encode(), "utf-8"), (b"a", "utf-8"), (b"\xe9", None)]
)
def test_a_text_file_declares_its_charset_where_it_is_sure(data: bytes, charset: str) -> None:
    """Protocol item 14."""
    part = AttachmentPart(name="a.txt", content_type="text/plain", data=data)

    found = next(modern(attachments=[part]).iter_attachments())

    assert found.get_content_charset() == charset
    assert found.get_payload(decode=True) == data


def test_an_enclosed_message_stays_a_message() -> None:
    enclosed = render(compose(subject="Inside"))
    part = AttachmentPart(name="a.eml", content_type="message/rfc822", data=enclosed)

    found = next(modern(attachments=[part]).iter_attachments())

    assert isinstance(inside := found.get_content(), EmailMessage)
    assert inside["Subject"] == "Inside"


@pytest.mark.parametrize("data", ["Subject: é\n\n".encode(), b"Subject: a\n\n" + b"a" * 999])
def test_an_enclosed_message_that_may_not_be_encoded_goes_as_a_file(data: bytes) -> None:
    """RFC 2046 5.2.1 allows no base64 for message/rfc822."""
    part = AttachmentPart(name="a.eml", content_type="message/rfc822", data=data)

    found = next(modern(attachments=[part]).iter_attachments())

    assert (found.get_content_type(), found.get_content()) == ("application/octet-stream", data)


def test_a_boundary_occurs_in_no_part() -> None:
    """Protocol item 12, with a part made to hold the boundary that would be taken."""
    files = [AttachmentPart(name="a", content_type="message/rfc822", data=b"Subject: a\r\n\r\n")]
    first = re.search(rb'boundary="([^"]+)"', render(compose(attachments=files)))
    assert first
    assert len(first[1]) <= 70
    hostile = b"Subject: a\r\n\r\n--" + first[1] + b"--\r\n"
    files = [AttachmentPart(name="a", content_type="message/rfc822", data=hostile)]

    message = modern(attachments=files)

    assert message.get_boundary() != first[1].decode()
    assert [part.get_content_type() for part in message.walk()][:3] == [
        "multipart/mixed",
        "text/plain",
        "message/rfc822",
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"aGk=", b"hi"), (b"aG k\n=", b"hi"), (b"aGk", b"hi"), (b"aGk=\n--list footer", b"hi"),
     (b"aGkA!", b"hi\0"), (b"a", b""), (b"", b"")],
)  # fmt: skip
def test_base64_is_read_as_far_as_it_goes(raw: bytes, expected: bytes) -> None:
    assert decode_base64(raw) == expected
