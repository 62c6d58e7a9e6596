"""A composition becomes one message that other parsers read alike."""

import email
import email.policy
from datetime import UTC, datetime
from typing import Any

import pytest

from outbox.mail.addresses import Address
from outbox.mail.mime import AttachmentPart, Composition, HeaderError, render


def compose(**changes: Any) -> Composition:
    given: dict[str, Any] = {
        "from_": Address("Ann", "ann", "example.net"),
        "to": [Address("", "bob", "example.org")],
        "subject": "Hello",
        "date": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        "message_id": "<1@example.net>",
        "text": "Hello Bob.\n",
    }
    return Composition(**(given | changes))


def test_it_renders_a_plain_mail_in_full() -> None:
    assert render(compose()).decode().split("\r\n") == [
        "Date: Sun, 01 Mar 2026 12:30:00 +0000",
        "From: Ann <ann@example.net>",
        "To: bob@example.org",
        "Subject: Hello",
        "Message-ID: <1@example.net>",
        "X-Priority: 3",
        "MIME-Version: 1.0",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello Bob.",
        "",
    ]


def test_it_nests_text_pictures_and_files() -> None:
    composition = compose(
        html='<p>Hello <img src="cid:logo"></p>',
        attachments=[
            AttachmentPart(name="logo.png", content_type="image/png", data=b"p", content_id="logo"),
            AttachmentPart(name="a.pdf", content_type="application/pdf", data=b"\0\xff"),
        ],
    )

    message = email.message_from_bytes(render(composition), policy=email.policy.default)

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    assert [part.get_content() for part in message.iter_attachments()] == [b"\0\xff"]


@pytest.mark.parametrize("bad", ["a\r\nBcc: x@y.z", "a\nb", "a\rb", "a\0b"])
def test_it_refuses_a_line_break_in_a_header(bad: str) -> None:
    """Protocol item 7."""
    with pytest.raises(HeaderError) as raised:
        render(compose(subject=bad))

    assert raised.value.field == "subject"
