"""The seven-bit form for a server without 8BITMIME; protocol item 50."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from outbox.smtp.envelope import UnsendableError
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


def test_it_says_the_same_in_seven_bits() -> None:
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
    assert encodings == ["quoted-printable", None, "base64"]
    assert parsed(narrow)["Content-Transfer-Encoding"] == "7bit"
    assert b"plain, \t untouched  \r\n" in narrow


def test_it_goes_down_into_an_enclosed_message() -> None:
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


def test_it_says_mime_where_nothing_did() -> None:
    narrow = seven_bit(mime("From: a@x.test", "Subject: hello", "", "grüße"))
    assert b"MIME-Version: 1.0\r\n" in narrow
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in narrow


def test_it_makes_no_line_longer_than_it_may_be() -> None:
    narrow = seven_bit(TEXT.replace("grüße".encode(), "grüße ".encode() * 400))
    assert max(map(len, narrow.split(b"\r\n"))) <= 76


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


def test_it_refuses_eight_bits_outside_of_parts() -> None:
    preamble = TWO_PARTS.replace(b"\r\n\r\n--b", "\r\n\r\nprämbel\r\n--b".encode(), 1)
    with pytest.raises(UnsendableError, match=r"^5\.6\.3 .*8BITMIME"):
        seven_bit(preamble)
