"""Received messages as the fetcher stores them, without a server."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from outbox.inbound.inspect import inspect
from outbox.mail.displayed import text_and_html
from outbox.mail.html import html_to_text
from outbox.mail.parts import decoded_headers, files, outline
from outbox.mail.plain_text import snippet
from outbox.models import Account, InboundMessage, InboundSource
from outbox.models.inbound_search import index_received


def receive(
    owner: User | None, source: bytes | str, account: Account | None = None, **fields: Any
) -> InboundMessage:
    """Store a message that a user received, and return it."""
    data = source.encode() if isinstance(source, str) else source
    data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    headers = {name.lower(): value for name, _raw, value in reversed(decoded_headers(data))}
    found = inspect(data)
    text, html = text_and_html(data)
    values: dict[str, Any] = {
        "kind": found.kind.value,
        "kind_sign": found.sign,
        "from_header": headers.get("from", ""),
        "to_summary": headers.get("to", "")[:200],
        "subject": headers.get("subject", ""),
        "snippet": snippet(text or html_to_text(html)),
        "message_id": found.message_id,
        "in_reply_to": found.original_message_id,
        "received_at": timezone.now(),
        "size": len(data),
        "attachment_count": len(files(outline(data))),
    }
    message = InboundMessage.objects.create(owner=owner, account=account, **(values | fields))
    sha256 = hashlib.sha256(data).hexdigest()
    InboundSource.of(message.pk, data, sha256).save()
    index_received([message.pk], "default")
    return message


def letter(
    subject: str = "Lunch",
    text: str = "Are you free on Friday?",
    *,
    sender: str = "Jane Doe <jane@example.org>",
    **headers: str,
) -> str:
    """Return the source of a plain message; names of headers have underscores for hyphens."""
    fields = {"From": sender, "To": "anna@example.com", "Subject": subject}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    fields.setdefault("Message-ID", f"<{abs(hash(subject + text))}@mail.example.org>")
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"{head}Content-Type: text/plain; charset=utf-8\n\n{text}\n"


def add_many(owner: User, count: int, **fields: Any) -> list[InboundMessage]:
    """Add received messages without bytes, a minute apart, for long lists."""
    now = timezone.now()
    return InboundMessage.objects.bulk_create(
        InboundMessage(
            owner=owner,
            subject=f"Message {number}",
            from_header="Jane Doe <jane@example.org>",
            received_at=now - dt.timedelta(minutes=number),
            **fields,
        )
        for number in range(count)
    )
