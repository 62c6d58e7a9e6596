"""The seven-bit form for a server without 8BITMIME; protocol item 50."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.mail.envelope import UnsendableError
from outbox.smtp.sevenbit import seven_bit


def mime(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


TEXT = mime(
    "Subject: hello",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    "grüße",
    ".dot, and = and trailing blank ",
)
TWO_PARTS = mime(
    "MIME-Version: 1.0",
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Transfer-Encoding: 8bit",
    "",
    "--b",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    "grüße",
    "--b",
    "Content-Type: text/x-plain",
    "",
    "plain, \t untouched  ",
    "--b",
    "Content-Type: application/x-odd",
    "Content-Transfer-Encoding: 8bit",
    "",
    "ümläut" * 30,
    "--b--",
)


def parsed(source: bytes) -> EmailMessage:
    return message_from_bytes(source, policy=SMTP)


def test_its_seven_bit_form_has_the_same_text() -> None:
    narrow = seven_bit(TEXT)
    assert narrow.isascii()
    message = parsed(narrow)
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_content() == parsed(TEXT).get_content()
    assert narrow.partition(b"\r\n\r\n")[0].count(b"\r\n") == 3


def test_it_changes_only_the_parts_that_need_it() -> None:
    narrow = seven_bit(TWO_PARTS)
    assert narrow.isascii()
    wide_parts, parts = (list(parsed(source).iter_parts()) for source in (TWO_PARTS, narrow))
    contents = [[part.get_content() for part in side] for side in (wide_parts, parts)]
    assert contents[0] == contents[1]
    encodings = [part.get("Content-Transfer-Encoding") for part in parts]
    assert encodings == ["base64", None, "base64"]
    assert parsed(narrow)["Content-Transfer-Encoding"] == "7bit"
    assert b"plain, \t untouched  \r\n" in narrow


def test_it_encodes_the_parts_of_an_enclosed_message() -> None:
    source = mime(
        "MIME-Version: 1.0",
        "Content-Type: message/rfc822",
        "Content-Transfer-Encoding: 8bit",
        "",
    )
    narrow = seven_bit(source + TEXT)
    assert narrow.isascii()
    message = parsed(narrow)
    assert message["Content-Transfer-Encoding"] == "7bit"
    assert message.get_content().get_content() == parsed(TEXT).get_content()


def test_it_adds_a_missing_mime_version() -> None:
    narrow = seven_bit(mime("From: a@x.test", "Subject: hello", "", "viele herzliche grüße"))
    assert b"MIME-Version: 1.0\r\n" in narrow
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in narrow


def test_it_makes_no_line_too_long() -> None:
    narrow = seven_bit(TEXT.replace("grüße".encode(), "grüße ".encode() * 400))
    assert max(map(len, narrow.split(b"\r\n"))) <= 76


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln, wo der Dom steht. ", "quoted-printable"),
        ("您的订单已经发货，请注意查收。", "base64"),
        ("Ваш заказ уже отправлен. ", "base64"),
        ("สวัสดี ", "base64"),
    ],
    ids=["German", "Chinese", "Russian", "Thai"],
)
def test_text_gets_the_shorter_of_two_encodings(text: str, encoding: str) -> None:
    source = TEXT.replace("grüße".encode(), (text * 20).encode())

    narrow = seven_bit(source)

    assert parsed(narrow)["Content-Transfer-Encoding"] == encoding
    assert parsed(narrow).get_content() == parsed(source).get_content()
    assert len(narrow) < 1.6 * len(source)


def test_each_part_gets_its_own_encoding() -> None:
    chinese = "您的订单已经发货，请注意查收。" * 20
    html = "<p style='color:red'>" * 30 + "Grüße"
    source = TWO_PARTS.replace("grüße".encode(), chinese.encode())
    source = source.replace(b"text/x-plain", b"text/html; charset=utf-8")
    source = source.replace(b"plain, \t untouched  ", html.encode())

    narrow = seven_bit(source)

    wide_parts, parts = (list(parsed(one).iter_parts()) for one in (source, narrow))
    encodings = [part["Content-Transfer-Encoding"] for part in parts]
    assert encodings == ["base64", "quoted-printable", "base64"]
    for wide_part, part in zip(wide_parts, parts, strict=True):
        assert part.get_payload(decode=True) == wide_part.get_payload(decode=True)


lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=60)


@given(st.lists(lines, max_size=8), st.lists(lines, max_size=8))
@example(["грюссе" * 9, ".", "From ", "\t ", "="], ["您" * 40])
def test_the_recipient_decodes_the_same_bytes(first: list[str], second: list[str]) -> None:
    source = TWO_PARTS.replace("grüße".encode(), "\r\n".join(first).encode())
    source = source.replace(b"plain, \t untouched  ", "\r\n".join(second).encode())

    wide_parts, parts = (
        list(message_from_bytes(one, policy=SMTP).walk()) for one in (source, seven_bit(source))
    )

    assert len(parts) == len(wide_parts)
    for wide_part, part in zip(wide_parts, parts, strict=True):
        assert part.get_payload(decode=True) == wide_part.get_payload(decode=True)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"DKIM-Signature: v=1\r\n" + TEXT, id="DKIM"),
        pytest.param(
            mime(
                "Content-Type: multipart/mixed; boundary=o",
                "",
                "--o",
                "Content-Type: multipart/signed; boundary=b",
                "",
                "--b",
                "Content-Type: text/plain; charset=utf-8",
                "",
                "grüße",
                "--b--",
                "--o--",
            ),
            id="signed part",
        ),
    ],
)
def test_it_refuses_to_break_a_signature(source: bytes) -> None:
    """Protocol item 50."""
    with pytest.raises(UnsendableError, match=r"^5\.6\.2 .*8BITMIME.*signature"):
        seven_bit(source)


def test_it_rejects_eight_bits_outside_of_parts() -> None:
    preamble = TWO_PARTS.replace(b"\r\n\r\n--b", "\r\n\r\nprämbel\r\n--b".encode(), 1)
    with pytest.raises(UnsendableError, match=r"^5\.6\.3 .*8BITMIME"):
        seven_bit(preamble)
