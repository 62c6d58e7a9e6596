"""A queued message as Django's `EmailMessage`, parsed from its bytes, for assertions in tests.

The recipients are those of the envelope. Where Python appends a line break to every text, a final
line break is removed, since the bytes do not show whether the text had one.
"""

import email
import email.message
import email.policy
from dataclasses import replace
from typing import Any

import django
from django.core.mail import EmailMultiAlternatives

from outbox.mail.addresses import parse_address
from outbox.mail.charsets import decode_text
from outbox.mail.parts import decoded_headers
from outbox.models import Importance, Message, Recipient, Role

_NO_EXTRA = frozenset(
    {"subject", "from", "to", "cc", "reply-to", "date", "message-id", "mime-version"}
)
# By Python's newer API; before Django 6, only to a text that is the whole message.
_IN_EVERY_PART = django.VERSION >= (6,)

_OPTIONS = (
    "account", "owner", "send_at", "expires_at", "idempotency_key", "tags", "metadata", "related",
    "on_uncertain", "in_reply_to", "wants_report",
)  # fmt: skip
_PRIORITIES = {1: "urgent", 3: "normal", 5: "bulk"}
_FOLLOWING = {Importance.HIGH: "urgent", Importance.NORMAL: "normal", Importance.LOW: "bulk"}

Part = email.message.EmailMessage


class QueuedMessage(EmailMultiAlternatives):
    """One message of an Inbox; `row` is its row in the database and `source` its bytes."""

    def __init__(self, row: Message) -> None:
        self.row = row
        self.source = row.source.read()
        parsed = _parsed(self.source)
        headers = {name: value for name, _, value in decoded_headers(self.source)}
        recipients = list(row.recipients.order_by("pk"))
        body, subtype, alternatives = _bodies(parsed)
        reply_to = headers.get("Reply-To")
        super().__init__(
            subject=row.subject,
            body=body,
            from_email=headers.get("From", ""),
            to=_of_role(recipients, Role.TO),
            cc=_of_role(recipients, Role.CC),
            bcc=_of_role(recipients, Role.BCC),
            reply_to=[reply_to] if reply_to else None,
            headers={name: value for name, value in headers.items() if _is_extra(name)},
            alternatives=alternatives,
            attachments=[_attachment(part) for part in parsed.iter_attachments()],
        )
        self.content_subtype = subtype

    def message(self, **_: Any) -> Part:
        """Return the queued bytes, parsed."""
        return _parsed(self.source)

    @property
    def states(self) -> dict[str, str]:
        """The current delivery state of each recipient, by address."""
        return dict(self.row.recipients.values_list("address", "state"))

    @property
    def options(self) -> dict[str, Any]:
        """The options it was queued with, as `api.send` names them; unset ones are left out."""
        row, recipient = self.row, self.row.recipients.order_by("pk").first()
        importance = Importance(row.importance)
        options = {name: getattr(row, name) for name in _OPTIONS if getattr(row, name)}
        priority = _PRIORITIES[recipient.priority] if recipient else ""
        if recipient and priority != _FOLLOWING[importance]:
            options["priority"] = priority
        if importance != Importance.NORMAL:
            options["importance"] = importance.value
        return options | {"envelope_sender": row.envelope_sender}


def _parsed(source: bytes) -> Part:
    return email.message_from_bytes(source, policy=email.policy.SMTP)


def _is_extra(name: str) -> bool:
    return name.lower() not in _NO_EXTRA and not name.lower().startswith("content-")


def _of_role(recipients: list[Recipient], role: Role) -> list[str]:
    return [_shown(one) for one in recipients if one.role == role]


def _shown(recipient: Recipient) -> str:
    if not recipient.name:
        return recipient.address
    return str(replace(parse_address(recipient.address), name=recipient.name))


def _bodies(parsed: Part) -> tuple[str, str, list[tuple[Any, str]]]:
    """Return the body, its subtype of text, and the alternatives to it."""
    found = parsed.get_body(("plain", "html"))
    if found is None:
        return "", "plain", []
    body = _text(found)
    if found is parsed and not _IN_EVERY_PART:
        body = body.removesuffix("\n")
    return body, found.get_content_subtype(), _alternatives(parsed, found)


def _alternatives(parsed: Part, body: Any) -> list[tuple[Any, str]]:
    for part in parsed.walk():
        children: Any = part.get_payload() if part.is_multipart() else []
        if part.get_content_subtype() == "alternative" and body in children:
            others = [child for child in children if child is not body]
            return [(_content(other), other.get_content_type()) for other in others]
    return []


def _attachment(part: Part) -> Any:
    """Return name, content and type, as `mail.outbox` has them."""
    return part.get_filename(), _content(part), part.get_content_type()


def _content(part: Any) -> Any:
    if part.get_content_maintype() == "text":
        return _text(part)
    if part.get_content_type() == "message/rfc822":
        return part.get_payload(0)
    return part if part.is_multipart() else part.get_payload(decode=True)


def _text(part: Any) -> str:
    data = part.get_payload(decode=True)
    text = decode_text(data, part.get_content_charset("utf-8")).replace("\r\n", "\n")
    return text.removesuffix("\n") if _IN_EVERY_PART else text
