"""A header says what was meant, or is refused; nothing in it can start another line."""

from datetime import datetime
from typing import Any

import pytest

from outbox.mail.addresses import Address, AddressError
from outbox.mail.mime_writer import AttachmentPart, HeaderError, render
from tests.unit.mail.samples import compose

BREAKS = {"CRLF": "a\r\nBcc: x@y.z", "LF": "a\nb", "CR": "a\rb", "NUL": "a\0b"}


def file(**changes: str) -> list[AttachmentPart]:
    given: dict[str, Any] = {"name": "a.txt", "content_type": "text/plain", "data": b"a"}
    return [AttachmentPart(**(given | changes))]


@pytest.mark.parametrize("bad", [*BREAKS.values(), "\ud800"], ids=[*BREAKS, "half a character"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("subject", lambda bad: {"subject": bad}),
        ("message_id", lambda bad: {"message_id": f"<{bad}@x.org>"}),
        ("in_reply_to", lambda bad: {"in_reply_to": f"<{bad}@x.org>"}),
        ("references", lambda bad: {"references": ["<a@x.org>", f"<{bad}@x.org>"]}),
        ("X-Tag", lambda bad: {"headers": {"X-Tag": bad}}),
        ("attachments", lambda bad: {"attachments": file(name=bad)}),
        ("content_id", lambda bad: {"attachments": file(content_id=bad), "html": "x"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_refuses_what_could_end_a_line(field: str, change: Any, bad: str) -> None:
    """Protocol item 7."""
    with pytest.raises(HeaderError) as raised:
        render(compose(**change(bad)))

    assert raised.value.field == field


@pytest.mark.parametrize("bad", BREAKS.values(), ids=BREAKS)
def test_no_address_with_a_line_break_can_be_made(bad: str) -> None:
    """Protocol item 7: so From, To, Cc, Reply-To and Sender need no check of their own."""
    for parts in [(bad, "b", "x.org"), ("", bad, "x.org"), ("", "b", bad)]:
        with pytest.raises(AddressError):
            Address(*parts)


@pytest.mark.parametrize(
    "name", ["", "X Tag", "X:Tag", "X-Täg", "X-Tag\r\n", "X\tTag", "X" * 77, "X\x7f"]
)
def test_it_refuses_a_header_name_outside_printable_ascii(name: str) -> None:
    """Protocol item 8."""
    with pytest.raises(HeaderError):
        render(compose(headers={name: "a"}))


@pytest.mark.parametrize(
    "name", ["From", "date", "MESSAGE-ID", "Bcc", "Resent-Bcc", "Content-Type", "Return-Path"]
)
def test_no_extra_header_replaces_one_of_ours(name: str) -> None:
    """Protocol items 3 and 6."""
    with pytest.raises(HeaderError) as raised:
        render(compose(headers={name: "a"}))

    assert raised.value.field == name


def test_an_extra_header_is_given_once() -> None:
    with pytest.raises(HeaderError, match="twice"):
        render(compose(headers={"X-Tag": "a", "x-tag": "b"}))


def test_a_date_without_a_zone_is_refused() -> None:
    """Protocol item 4."""
    with pytest.raises(HeaderError) as raised:
        render(compose(date=datetime(2026, 3, 1, 12, 30)))  # noqa: DTZ001  the mistake itself

    assert raised.value.field == "date"


@pytest.mark.parametrize("importance", ["", "1", "high\r\nBcc: eve@example.com"])
def test_importance_is_high_normal_or_low(importance: str) -> None:
    with pytest.raises(HeaderError, match="importance"):
        render(compose(importance=importance))
