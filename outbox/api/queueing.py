"""Queueing: rendered bytes and an envelope become rows, all or none, inside the caller's
transaction. Everything that can be wrong with a mail is found here, in the caller's stack."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from outbox import bell
from outbox.api.routes import route_of
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.source import SourceError, SourceFacts, validate_source
from outbox.mail.text import snippet
from outbox.models import (
    FOLDER_OF,
    Account,
    Destination,
    Message,
    Origin,
    Recipient,
    Role,
    Source,
    Status,
)
from outbox.signals import Change, is_heard, tell_on_commit

_SUMMARY = 3  # visible recipients named in lists


@dataclass(frozen=True, slots=True)
class OutgoingRecipient:
    """One envelope recipient; `address` is an addr-spec."""

    address: str
    role: str = Role.TO
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A finished mail: its bytes (CRLF line ends) and its envelope."""

    source: bytes
    envelope_sender: str  # "" is the null sender
    recipients: Sequence[OutgoingRecipient]
    account: Account | None = None  # None: the default account for apps
    owner: AbstractBaseUser | None = None
    origin: str = Origin.API
    priority: int = 3  # X-Priority: 1 highest … 5 lowest
    send_at: dt.datetime | None = None
    expires_after: dt.timedelta | None = None  # None: OUTBOX["QUEUE_LIFETIME"]
    idempotency_key: str | None = None
    on_uncertain: str = ""  # "" : the account's policy
    subject: str = ""
    from_header: str = ""
    message_id: str = ""
    in_reply_to: str = ""
    text: str = ""  # for the snippet in lists
    attachment_count: int = 0
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def queue_sources(items: Iterable[Outgoing]) -> list[Message]:
    """Queue finished mails, all or none; ring the bell when the transaction commits.

    Raises InvalidMailError for what can never be sent and NoAccountError, both before any row is
    written. An item whose idempotency key is known gives back the earlier message.
    """
    using = get_conf().database
    checked = [(item, _check(item)) for item in items]
    if not checked:
        return []
    with transaction.atomic(using=using):
        routes = _routes([item for item, _ in checked])
        messages: list[Message | None] = [None] * len(checked)
        plain = []
        for position, (item, facts) in enumerate(checked):
            route = routes[item.account.pk if item.account else None]
            if item.idempotency_key is None:
                plain.append((position, item, facts, route))
            else:
                messages[position] = _store_once(item, facts, route)
        stored = _store([(item, facts, route) for _, item, facts, route in plain])
        for (position, *_), message in zip(plain, stored, strict=True):
            messages[position] = message
        bell.ring(using)
    return [message for message in messages if message is not None]


def _check(item: Outgoing) -> SourceFacts:
    if not item.recipients:
        raise InvalidMailError("to", "The mail has no recipient.")
    if item.priority not in range(1, 6):
        raise InvalidMailError("priority", "A priority is a number from 1 to 5.")
    for value in (item.envelope_sender, *(recipient.address for recipient in item.recipients)):
        if len(value.encode()) > 320 or any(char in value for char in "\r\n\0<> "):  # noqa: PLR2004  # 64 + @ + 255
            raise InvalidMailError("to", f"Not an address: {value!r}")
    try:
        return validate_source(item.source)
    except SourceError as error:
        raise InvalidMailError("source", f"The message cannot be sent: {error}.") from error


def _routes(items: Sequence[Outgoing]) -> dict[int | None, Destination]:
    accounts = {item.account.pk if item.account else None: item.account for item in items}
    return {pk: route_of(account) for pk, account in accounts.items()}


def _store_once(item: Outgoing, facts: SourceFacts, route: Destination) -> Message:
    """Store under the idempotency key; whoever comes second gets the first one's message."""
    using = get_conf().database
    known = Message.objects.using(using).filter(idempotency_key=item.idempotency_key)
    earlier = known.first()
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic(using=using):
            return _store([(item, facts, route)])[0]
    except IntegrityError:
        return known.get()


def _store(rows: Sequence[tuple[Outgoing, SourceFacts, Destination]]) -> list[Message]:
    using = get_conf().database
    now = timezone.now()
    messages = Message.objects.using(using).bulk_create(
        [_message(item, facts, route, now) for item, facts, route in rows]
    )
    pairs = list(zip(messages, rows, strict=True))
    attach(pairs, now)
    return messages


def attach(
    pairs: Sequence[tuple[Message, tuple[Outgoing, SourceFacts, Destination]]], now: dt.datetime
) -> None:
    """Write the sources and recipients of stored messages."""
    using = get_conf().database
    Source.objects.using(using).bulk_create(
        [Source.of(message.pk, item.source, facts.sha256) for message, (item, facts, _) in pairs]
    )
    recipients = Recipient.objects.using(using).bulk_create(
        [
            _recipient(message, recipient, item, route)
            for message, (item, _, route) in pairs
            for recipient in item.recipients
        ]
    )
    if is_heard("queued"):
        tell_on_commit(
            [
                Change(
                    message_id=recipient.message_id,
                    recipient_id=recipient.pk,
                    address=recipient.address,
                    state=recipient.state,
                )
                for recipient in recipients
            ],
            using,
        )


def fill(message: Message, item: Outgoing, facts: SourceFacts, route: Destination) -> None:
    """Give a message row what its finished mail decides."""
    now = timezone.now()
    leaves_at = item.send_at or now
    lifetime = item.expires_after or dt.timedelta(seconds=get_conf().queue_lifetime)
    status = Status.SCHEDULED if leaves_at > now else Status.QUEUED
    message.account = route.account
    message.status, message.folder = status, FOLDER_OF[status]
    message.subject = item.subject or facts.subject
    message.from_header = item.from_header
    message.envelope_sender = item.envelope_sender
    message.to_summary = _summary(item.recipients)
    message.snippet = snippet(item.text, 120) if item.text else ""
    message.message_id = (item.message_id or facts.message_id).strip("<> ")[:255]
    message.in_reply_to = item.in_reply_to.strip("<> ")[:255]
    message.priority = item.priority
    message.size = facts.size
    message.recipient_count = len(item.recipients)
    message.attachment_count = item.attachment_count
    message.needs_8bit = facts.is_8bit
    message.needs_smtputf8 = facts.needs_smtputf8
    message.on_uncertain = item.on_uncertain
    message.queued_at = now
    message.send_at = item.send_at
    message.expires_at = leaves_at + lifetime


def _message(item: Outgoing, facts: SourceFacts, route: Destination, now: dt.datetime) -> Message:
    message = Message(
        owner_id=item.owner.pk if item.owner else None,
        origin=item.origin,
        tags=list(item.tags),
        metadata=dict(item.metadata),
        idempotency_key=item.idempotency_key,
        created_at=now,
    )
    fill(message, item, facts, route)
    return message


def _recipient(
    message: Message, recipient: OutgoingRecipient, item: Outgoing, route: Destination
) -> Recipient:
    return Recipient(
        message_id=message.pk,
        role=recipient.role,
        name=recipient.name[:255],
        address=recipient.address,
        destination_id=route.pk,
        sender_key=message.owner_id or 0,
        priority=item.priority,
        next_attempt_at=item.send_at or Now(),
        expires_at=message.expires_at,
    )


def _summary(recipients: Sequence[OutgoingRecipient]) -> str:
    visible = [one.name or one.address for one in recipients if one.role != Role.BCC]
    return ", ".join(visible[:_SUMMARY])[:200]
