"""Writing a message out is quicker than the standard library's way, and gives the same bytes."""

from collections.abc import Callable
from email.errors import HeaderParseError
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.mail.flatten import flatten

NAMES = st.sampled_from(["Subject", "X-Mailer", "List-Unsubscribe", "X-" + "Long" * 15])
VALUES = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=100)


def by_the_library(message: "Message[Any, Any]") -> bytes:
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False).flatten(message)
    return written.getvalue()


def outcome(write: Callable[..., bytes], message: "Message[Any, Any]") -> bytes | str:
    """The bytes, or the library's own complaint: it refuses what looks like a header of its own."""
    try:
        return write(message)
    except HeaderParseError as error:
        return str(error)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
@example([("Subject", "x" * 69)])  # ends at column 78
@example([("Subject", "x" * 70)])  # and beyond it
@example([("Subject", "a b " * 17)])
@example([("Subject", " led by a blank")])
@example([("Subject", "two  blanks")])
@example([("Subject", "")])
@example([("Subject", "\x1e0:")])  # the library takes this separator for a line end
def test_any_header_comes_out_as_the_library_has_it(fields: list[tuple[str, str]]) -> None:
    message = MIMEText("From here on\n.\n", "plain", "utf-8")
    for name, value in fields:
        message[name] = value

    assert outcome(flatten, message) == outcome(by_the_library, message)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Header("Grüße", "utf-8"), id="encoded words"),
        pytest.param("Gr\udcc3\udcbc\udcc3\udc9fe", id="raw bytes"),
        pytest.param("one\n two", id="folded already"),
    ],
)
def test_what_is_not_plain_goes_the_library_s_way(value: Any) -> None:
    message = MIMEMultipart()
    message.attach(MIMEText("Grüße", "plain", "utf-8"))
    message["Subject"] = value

    assert flatten(message) == by_the_library(message)


@given(st.text(st.sampled_from("ab.\r\n"), max_size=40))
def test_any_body_comes_out_as_the_library_has_it(text: str) -> None:
    message: Message[Any, Any] = Message()
    message.set_payload(text)

    assert flatten(message) == by_the_library(message)
