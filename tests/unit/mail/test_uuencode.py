"""Files in uuencode, which old programs and some devices still attach."""

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.displayed import text_and_html
from outbox.mail.parts import outline, part_bytes

DATA = bytes(range(256)) + b"The end"


def uuencoded(data: bytes, *, backtick: bool = False) -> bytes:
    lines = (
        binascii.b2a_uu(data[at : at + 45], backtick=backtick) for at in range(0, len(data), 45)
    )
    end = b"`\nend\n" if backtick else b" \nend\n"
    return b"begin 644 photo of me.bin\n" + b"".join(lines) + end


def attachment(body: bytes, encoding: str = "x-uuencode", name: str = "") -> bytes:
    parameter = f'; filename="{name}"' if name else ""
    head = (
        "Content-Type: application/octet-stream\n"
        f"Content-Transfer-Encoding: {encoding}\n"
        f"Content-Disposition: attachment{parameter}\n\n"
    )
    return b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + head.encode() + body + b"--b--\n"


FORMS = {
    "as written": uuencoded(DATA),
    "grave accents": uuencoded(DATA, backtick=True),
    "CRLF": uuencoded(DATA).replace(b"\n", b"\r\n"),
    "blanks stripped on the way": b"\n".join(map(bytes.rstrip, uuencoded(DATA).split(b"\n"))),
    "text before it": b"Here it comes:\n\n" + uuencoded(DATA),
    "text after it": uuencoded(DATA) + b"That was all.\n",
    "a checksum on each line": b"".join(
        line[:-1] + b"*\n" if line[:1] == b"M" else line
        for line in uuencoded(DATA).splitlines(keepends=True)
    ),
    "no end": uuencoded(DATA).removesuffix(b"end\n"),
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_an_attachment_is_decoded(body: bytes) -> None:
    source = attachment(body)

    assert part_bytes(source, "1.1") == DATA
    assert outline(source).children[0].size == len(DATA)


@pytest.mark.parametrize("encoding", ["x-uuencode", "X-UUEncode", "uuencode", "x-uue", "uue"])
def test_every_name_of_the_encoding_is_known(encoding: str) -> None:
    assert part_bytes(attachment(uuencoded(DATA), encoding), "1.1") == DATA


def test_the_file_is_named_by_its_header_or_else_by_its_first_line() -> None:
    assert outline(attachment(uuencoded(DATA))).children[0].name == "photo of me.bin"
    assert outline(attachment(uuencoded(DATA), name="a.bin")).children[0].name == "a.bin"


def test_what_is_not_encoded_stays_as_it_is() -> None:
    assert part_bytes(attachment(b"begin anew, 644 times\n"), "1.1") == b"begin anew, 644 times"


def test_uuencode_in_a_text_stays_text() -> None:
    body = b"Hello,\n\n" + uuencoded(b"abc")

    assert text_and_html(b"Subject: a\n\n" + body)[0] == body.decode()


@given(st.binary(max_size=500))
def test_any_bytes_come_back(data: bytes) -> None:
    assert part_bytes(attachment(uuencoded(data)), "1.1") == data


@given(st.binary(max_size=300))
def test_no_bytes_raise(junk: bytes) -> None:
    part_bytes(attachment(b"begin 644 a\n" + junk), "1")
