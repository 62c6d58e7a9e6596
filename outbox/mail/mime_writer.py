"""Render a composition as an RFC 5322 message, once; the bytes never change afterwards.

`render` is pure: the same composition gives the same bytes. They are 7-bit, unless a local part is
not. Every line ends in CRLF and has at most 998 bytes. There is no Bcc. Content is not judged here.
"""

import hashlib
import itertools
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from outbox.mail.addresses import Address
from outbox.mail.content_type import read_content_type
from outbox.mail.custom_headers import custom_field
from outbox.mail.header_writer import (
    X_PRIORITY,
    HeaderError,
    address_field,
    check_text,
    date_field,
    ids_field,
    parameter,
    parameter_field,
    plain_field,
    text_field,
)
from outbox.mail.html import html_to_text
from outbox.mail.transfer_encodings import encode_body, encode_file
from outbox.texts import gettext_noop

__all__ = [
    "AttachmentPart",
    "Composition",
    "HeaderError",
    "SharedPart",
    "check_attachment",
    "check_headers",
    "make_message_id",
    "render",
    "render_report",
]

# Fields that `render` writes itself, or that must not be sent (Bcc, traces of other hops).
_OWN_FIELDS = frozenset(
    {"date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id",
     "in-reply-to", "references", "importance", "x-priority", "resent-bcc", "received",
     "return-path", "mime-version", "content-type", "content-transfer-encoding",
     "content-disposition", "content-id"}
)  # fmt: skip
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentPart:
    """A file; with a content id it is displayed in the HTML (`cid:`) instead of listed below."""

    name: str
    content_type: str
    data: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPart(AttachmentPart):
    """A file of several messages, encoded once for all of them."""

    entities: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, part: AttachmentPart) -> "SharedPart":
        """Return the same file as a shared one."""
        return cls(
            name=part.name,
            content_type=part.content_type,
            data=part.data,
            content_id=part.content_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Everything that determines the bytes of a message. Bcc is part of the envelope only."""

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
    importance: str = "normal"  # or high, or low
    text: str
    html: str = ""
    attachments: Sequence[AttachmentPart] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    report_type: str = ""  # text and attachments are a report of this kind (RFC 6522)


def make_message_id(domain: str) -> str:
    """Return a unique message id, `<…@domain>`, with the domain in A-labels."""
    host = Address("", "x", domain).wire.partition("@")[2]
    return f"<{secrets.token_hex(16)}@{host}>"


def render(composition: Composition) -> bytes:
    """Return the message. Raise HeaderError, naming the field, if a value cannot be sent."""
    return b"".join(_head(composition)) + b"MIME-Version: 1.0\r\n" + _body(composition)


def render_report(composition: Composition, report_type: str, parts: Sequence[bytes]) -> bytes:
    """Return a multipart/report of the text and further parts, with their headers (RFC 6522).

    Raise HeaderError as `render` does.
    """
    entities = [_text_entity("plain", composition.text), *parts]
    parameters = [f"report-type={report_type}"]
    body = _multipart("report", entities, composition.message_id, parameters)
    return b"".join(_head(composition)) + b"MIME-Version: 1.0\r\n" + body


def _head(c: Composition) -> Iterable[bytes]:
    yield date_field("Date", c.date, "date")
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
    yield from _importance(c.importance)
    yield from _custom(c.headers)


def _importance(value: str) -> Iterable[bytes]:
    if value not in X_PRIORITY:
        template = gettext_noop("%(field)s must be high, normal or low")
        raise HeaderError("importance", template)
    if value != "normal":
        yield plain_field("Importance", value)
    yield plain_field("X-Priority", X_PRIORITY[value])


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise HeaderError for header fields that `render` would reject."""
    for _ in _custom(headers):
        pass


def _custom(headers: Mapping[str, str]) -> Iterable[bytes]:
    seen = set(_OWN_FIELDS)
    for name, value in headers.items():
        if name.lower() in seen:
            template = gettext_noop("%(field)s is written by the outbox itself, or given twice")
            raise HeaderError(name, template)
        seen.add(name.lower())
        yield custom_field(name, value)


# --- the body ------------------------------------------------------------------------------------


def _body(c: Composition) -> bytes:
    """Return mixed(alternative(text, related(html, images)), files), without empty levels."""
    inline = [a for a in c.attachments if a.content_id and c.html]
    files = [a for a in c.attachments if not (a.content_id and c.html)]
    body = _text_entity("plain", c.text)
    if c.html:
        html = _text_entity("html", c.html)
        if inline:
            parts = [html, *(_attachment_entity(a, "inline") for a in inline)]
            html = _multipart("related", parts, c.message_id, ['type="text/html"'])
        text = body if c.text.strip() else _text_entity("plain", html_to_text(c.html))
        body = _multipart("alternative", [text, html], c.message_id)
    if files:
        parts = [body, *(_attachment_entity(a, "attachment") for a in files)]
        if c.report_type:
            kind = [f'report-type="{c.report_type}"']
            return _multipart("report", parts, c.message_id, kind)
        body = _multipart("mixed", parts, c.message_id)
    return body


def _text_entity(subtype: str, text: str) -> bytes:
    encoding, data = encode_body(text)
    return (
        parameter_field("Content-Type", f"text/{subtype}", ['charset="utf-8"'])
        + plain_field("Content-Transfer-Encoding", encoding)
        + b"\r\n"
        + data
    )


def check_attachment(attachment: AttachmentPart) -> None:
    """Raise HeaderError for an attachment that `render` would reject."""
    check_text("name", attachment.name)
    _content_type(attachment)
    if attachment.content_id:
        _content_id(attachment.content_id)


def _attachment_entity(attachment: AttachmentPart, disposition: str) -> bytes:
    if not isinstance(attachment, SharedPart):
        return _encoded_attachment(attachment, disposition)
    if disposition not in attachment.entities:
        attachment.entities[disposition] = _encoded_attachment(attachment, disposition)
    return attachment.entities[disposition]


def _encoded_attachment(attachment: AttachmentPart, disposition: str) -> bytes:
    check_text("attachments", attachment.name)
    content_type, parameters = _content_type(attachment)
    encoding, data = encode_file(content_type, attachment.data)
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
        template = gettext_noop("%(field)s %(id)s is not a valid content id")
        raise HeaderError("content_id", template, id=repr(content_id[:60]))
    return bare


def _content_type(attachment: AttachmentPart) -> tuple[str, list[str]]:
    content_type, parameters = read_content_type(
        attachment.content_type or "application/octet-stream"
    )
    names = {word.partition("=")[0].partition("*")[0].lower() for word in parameters}
    if content_type.startswith("text/") and "charset" not in names:
        parameters += _charset_of(attachment.data)
    return content_type, parameters


def _charset_of(data: bytes) -> list[str]:
    """Return the parameter for UTF-8 only if it is true; clients guess other charsets well."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return []
    return ["charset=utf-8"]


def _boundary(seed: str, parts: Sequence[bytes]) -> str:
    """Return a boundary that occurs in no part. It is not random, because `render` is pure."""
    digests = (hashlib.sha256(f"{seed} {n}".encode()).hexdigest() for n in itertools.count())
    # Quoted-printable and base64 do not contain "=_" (RFC 2045 6.7); an enclosed message might.
    texts = (f"=_{digest[:32]}" for digest in digests)
    return next(text for text in texts if not any(text.encode() in part for part in parts))


def _multipart(
    subtype: str, parts: Sequence[bytes], seed: str, parameters: Sequence[str] = ()
) -> bytes:
    boundary = _boundary(f"{subtype} {seed}", parts)
    head = parameter_field(
        "Content-Type", f"multipart/{subtype}", [*parameters, f'boundary="{boundary}"']
    )
    mark = f"--{boundary}".encode()
    inside = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head + b"\r\n" + inside + mark + b"--\r\n"
