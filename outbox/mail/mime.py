"""One RFC 5322 message out of what a person composed: rendered once, never altered again.

`render` is pure: the same composition gives the same bytes. They are 7-bit wherever a mailbox
name allows it, end every line in CRLF, hold no line over 998 bytes and name no Bcc.
It does not judge whether the mail is wise to send.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from outbox.mail.addresses import Address
from outbox.mail.encodings import encode_attachment, encode_body
from outbox.mail.headers import (
    HeaderError,
    address_field,
    check_text,
    ids_field,
    parameter,
    parameter_field,
    plain_field,
    text_field,
)
from outbox.mail.html import html_to_text

__all__ = ["AttachmentPart", "Composition", "HeaderError", "make_message_id", "render"]

# What `render` writes itself, or what must never leave us (Bcc, the traces of other hops).
_OWN_FIELDS = frozenset(
    {"date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id",
     "in-reply-to", "references", "x-priority", "resent-bcc", "received", "return-path",
     "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
     "content-id"}
)  # fmt: skip
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")
_TOKEN = r"[A-Za-z0-9!#$%&'*+^_`{|}~.-]{1,70}"  # noqa: S105  a pattern, no secret
_MAX_CONTENT_TYPE = 200
_CONTENT_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})((?:\s*;\s*{_TOKEN}={_TOKEN})*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentPart:
    """A file; with a content id it is shown inside the HTML (`cid:`) instead of listed below."""

    name: str
    content_type: str
    data: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """All that decides the bytes of a mail; Bcc belongs to the envelope and has no place here."""

    from_: Address
    sender: Address | None = None
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    reply_to: Sequence[Address] = ()
    subject: str
    date: datetime
    message_id: str
    in_reply_to: str = ""
    references: Sequence[str] = ()
    priority: int = 3  # 1 highest … 5 lowest
    text: str
    html: str = ""
    attachments: Sequence[AttachmentPart] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def make_message_id(domain: str) -> str:
    """Make a message id nobody else has, `<…@domain>`, the domain in A-labels."""
    host = Address("", "x", domain).wire.partition("@")[2]
    return f"<{secrets.token_hex(16)}@{host}>"


def render(composition: Composition) -> bytes:
    """Render the whole message. Raises HeaderError, naming the field, for what cannot be sent."""
    return b"".join(_head(composition)) + b"MIME-Version: 1.0\r\n" + _body(composition)


def _head(c: Composition) -> Iterable[bytes]:
    yield plain_field("Date", _date(c.date))
    yield address_field("From", [c.from_])
    if c.sender and c.sender.key != c.from_.key:
        yield address_field("Sender", [c.sender])
    if c.reply_to:
        yield address_field("Reply-To", c.reply_to)
    if c.to:
        yield address_field("To", c.to)
    elif not c.cc:
        yield plain_field("To", "undisclosed-recipients:;")
    if c.cc:
        yield address_field("Cc", c.cc)
    yield text_field("Subject", c.subject, "subject")
    yield ids_field("Message-ID", [c.message_id], "message_id")
    if c.in_reply_to:
        yield ids_field("In-Reply-To", [c.in_reply_to], "in_reply_to")
    if c.references:
        yield ids_field("References", c.references, "references")
    if c.priority not in range(1, 6):
        raise HeaderError("priority", "is none of 1 to 5")
    yield plain_field("X-Priority", str(c.priority))
    yield from _extra(c.headers)


def _date(date: datetime) -> str:
    offset = date.utcoffset()
    if offset is None:
        raise HeaderError("date", "has no time zone")
    if offset.total_seconds() % 60:
        date = date.astimezone(UTC)  # zones before 1900 had seconds, which a header cannot say
    return format_datetime(date)


def _extra(headers: Mapping[str, str]) -> Iterable[bytes]:
    seen: set[str] = set()
    for name, value in headers.items():
        folded = name.lower()
        if folded in _OWN_FIELDS or folded in seen:
            raise HeaderError(name, "is written by the outbox itself or given twice")
        seen.add(folded)
        yield text_field(name, value)


# --- the body ------------------------------------------------------------------------------------


def _body(c: Composition) -> bytes:
    """Nest mixed(alternative(text, related(html, images)), files), leaving out what is empty."""
    boundaries = _boundaries(c.message_id)
    inline = [a for a in c.attachments if a.content_id and c.html]
    files = [a for a in c.attachments if not (a.content_id and c.html)]
    body = _text_entity("plain", c.text)
    if c.html:
        html = _text_entity("html", c.html)
        if inline:
            parts = [html, *(_attachment_entity(a, "inline") for a in inline)]
            html = _multipart("related", parts, boundaries, ['type="text/html"'])
        text = body if c.text.strip() else _text_entity("plain", html_to_text(c.html))
        body = _multipart("alternative", [text, html], boundaries)
    if files:
        parts = [body, *(_attachment_entity(a, "attachment") for a in files)]
        body = _multipart("mixed", parts, boundaries)
    return body


def _text_entity(subtype: str, text: str) -> bytes:
    encoding, data = encode_body(text)
    return (
        parameter_field("Content-Type", f"text/{subtype}", ['charset="utf-8"'])
        + plain_field("Content-Transfer-Encoding", encoding)
        + b"\r\n"
        + data
    )


def _attachment_entity(attachment: AttachmentPart, disposition: str) -> bytes:
    check_text("attachments", attachment.name)
    content_type, parameters = _content_type(attachment)
    encoding, data = encode_attachment(content_type, attachment.data)
    if encoding == "base64" and content_type.startswith(("message/", "multipart/")):
        content_type, parameters = "application/octet-stream", []  # RFC 2046 5.2.1
    name = parameter("filename", attachment.name) if attachment.name else []
    fields = [
        parameter_field("Content-Type", content_type, parameters),
        plain_field("Content-Transfer-Encoding", encoding),
        parameter_field("Content-Disposition", disposition, name),
    ]
    if attachment.content_id:
        fields.append(plain_field("Content-ID", f"<{_content_id(attachment.content_id)}>"))
    return b"".join(fields) + b"\r\n" + data


def _content_id(content_id: str) -> str:
    bare = content_id.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare):
        raise HeaderError("content_id", f"{content_id[:60]!r} is no content id")
    return bare


def _content_type(attachment: AttachmentPart) -> tuple[str, list[str]]:
    """What the browser claimed, if it has the form of RFC 2045 5.1; else plain bytes."""
    match = _CONTENT_TYPE.fullmatch(attachment.content_type.strip())
    if not match or len(attachment.content_type) > _MAX_CONTENT_TYPE:
        return "application/octet-stream", []
    parameters = [piece.strip() for piece in match[2].split(";") if piece.strip()]
    return match[1].lower(), parameters


Boundaries = Callable[[Sequence[bytes]], str]


def _boundaries(seed: str) -> Boundaries:
    """Answer a maker of boundaries that depend on nothing but the Message-ID."""
    made = 0

    def boundary(parts: Sequence[bytes]) -> str:
        nonlocal made
        while True:
            made += 1
            # "=_" can stand in no quoted-printable or base64 text (RFC 2045 6.7).
            digest = hashlib.sha256(f"{made} {seed}".encode()).hexdigest()
            text = f"=_{digest[:32]}"
            if not any(text.encode() in part for part in parts):
                return text

    return boundary


def _multipart(
    subtype: str, parts: Sequence[bytes], boundaries: Boundaries, parameters: Sequence[str] = ()
) -> bytes:
    boundary = boundaries(parts)
    head = parameter_field(
        "Content-Type", f"multipart/{subtype}", [*parameters, f'boundary="{boundary}"']
    )
    mark = f"--{boundary}".encode()
    inside = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head + b"\r\n" + inside + mark + b"--\r\n"
