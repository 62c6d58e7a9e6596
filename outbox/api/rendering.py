"""Renders content, addresses and files into one message, whose bytes never change afterwards."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from outbox.api.limits import (
    check_attachments,
    check_recipients,
    check_size,
    check_typed_recipients,
)
from outbox.api.options import SendOptions
from outbox.api.outgoing import Outgoing, OutgoingRecipient
from outbox.api.sensitivity import is_sensitive, split_mark
from outbox.api.unsubscribing import headers_of_options
from outbox.api.values import check_characters, read_moment
from outbox.conf import get_conf
from outbox.db import clock
from outbox.exceptions import InvalidMessageError
from outbox.mail.addresses import Address, AddressError, parse_entry, split_entries, unique
from outbox.mail.html import html_to_text
from outbox.mail.mime_writer import (
    AttachmentPart,
    Composition,
    HeaderError,
    make_message_id,
    render,
)
from outbox.models import Account, Importance, Origin, Role
from outbox.texts import gettext_noop

# Options that the source is made of; all others are fields of `Outgoing`.
_OPTIONS_OF_SOURCE = (
    "from_name", "envelope_sender", "in_reply_to", "references", "unsubscribe", "auto_submitted",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a message, its recipients, and the account to send with."""

    account: Account
    to: Sequence[Address] = ()
    cc: Sequence[Address] = ()
    bcc: Sequence[Address] = ()
    reply_to: Sequence[Address] = ()
    subject: str
    text: str
    html: str = ""
    files: Sequence[AttachmentPart] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    report_type: str = ""  # text and files are a report of this kind (RFC 6522)

    def check(self) -> None:
        """Raise InvalidMessageError for content that cannot be rendered."""
        if not (self.to or self.cc or self.bcc):
            raise InvalidMessageError("to", gettext_noop("Enter at least one recipient."))
        check_recipients(len(self.to) + len(self.cc) + len(self.bcc))
        check_attachments(len(self.files))
        check_size(sum(len(part.data) for part in self.files) + len(self.text) + len(self.html))
        check_characters("text", self.text)
        check_characters("html", self.html)

    def recipients(self) -> list[OutgoingRecipient]:
        """Return the envelope. An address that is named twice keeps its first role."""
        role_of: dict[str, Role] = {}
        for role, addresses in ((Role.TO, self.to), (Role.CC, self.cc), (Role.BCC, self.bcc)):
            for address in addresses:
                role_of.setdefault(address.key, role)
        return [
            OutgoingRecipient(address=address.spec, role=role_of[address.key], name=address.name)
            for address in unique([*self.to, *self.cc, *self.bcc])
        ]


def render_outgoing(
    content: Content, *, origin: str = Origin.API, **options: Unpack[SendOptions]
) -> Outgoing:
    """Render a message. Raise InvalidMessageError naming the field to correct."""
    content.check()
    headers, mark = split_mark(content.headers)
    option = False if origin == Origin.COMPOSE else options.get("sensitive")
    options["sensitive"] = is_sensitive(option, mark, content.text, content.html)
    recipients = content.recipients()
    added = headers_of_options(
        options, content.account, [one.address for one in recipients], given=headers
    )
    composition = _composition(replace(content, headers={**headers, **added}), options)
    stored: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if value is not None and name not in _OPTIONS_OF_SOURCE
    }
    own, envelope_sender = content.account.identity, options.get("envelope_sender")
    return Outgoing(
        source=_render(composition),
        envelope_sender=own.spec if envelope_sender is None else envelope_sender,
        is_sender_given=envelope_sender is not None,
        recipients=recipients,
        account=content.account,
        origin=origin,
        subject=content.subject,
        from_header=str(composition.from_),
        message_id=composition.message_id,
        in_reply_to=composition.in_reply_to,
        text=composition.text,
        attachment_count=len(content.files),
        tls_optional=_is_tls_optional(content.headers),
        **stored,
    )


def _is_tls_optional(headers: Mapping[str, str]) -> bool:
    """Return whether the caller's header says so; other values mean nothing (RFC 8689 3)."""
    return any(
        name.lower() == "tls-required" and value.strip().lower() == "no"
        for name, value in headers.items()
    )


def _composition(content: Content, options: SendOptions) -> Composition:
    identity = identity_of(content.account)
    in_reply_to = options.get("in_reply_to") or ""
    domain = get_conf().message_id_domain or identity.wire.rpartition("@")[2]
    from_name = options.get("from_name")
    return Composition(
        from_=identity if from_name is None else replace(identity, name=from_name),
        to=content.to,
        cc=content.cc,
        reply_to=content.reply_to,
        subject=content.subject,
        date=_date(options.get("send_at")),
        message_id=make_message_id(domain),
        in_reply_to=in_reply_to,
        references=options.get("references") or ([in_reply_to] if in_reply_to else ()),
        importance=options.get("importance") or Importance.NORMAL,
        text=content.text or html_to_text(content.html),
        html=content.html,
        attachments=content.files,
        headers=content.headers,
        report_type=content.report_type,
    )


def _date(send_at: dt.datetime | None) -> dt.datetime:
    """Return the time for the header Date: a time that has passed means now."""
    now = clock.now()
    return max(read_moment("send_at", send_at), now) if send_at is not None else now


def _render(composition: Composition) -> bytes:
    try:
        return render(composition)
    except HeaderError as error:
        name = "send_at" if error.field == "date" else error.field
        raise InvalidMessageError(name, error) from error


def read_addresses(field: str, typed: str) -> list[Address]:
    """Return the addresses typed in a field. Raise InvalidMessageError for that field."""
    check_typed_recipients(field, typed)
    try:
        entries = split_entries(typed)
        check_recipients(len(entries), field)
        return [parse_entry(entry) for entry in entries]
    except AddressError as error:
        raise InvalidMessageError(field, error) from error


def identity_of(account: Account) -> Address:
    """Return the header From of an account. Raise InvalidMessageError."""
    try:
        return account.identity
    except AddressError as error:
        template = gettext_noop("The account's own address: %(why)s")
        raise InvalidMessageError("account", template, why=error) from error
