"""Queueing: rendered bytes and an envelope become rows, all or none, inside the caller's
transaction. Everything that can be wrong with a mail is found here, in the caller's stack."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from outbox import bell
from outbox.api.routes import RouteIds, route_of
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.source import SourceError, SourceFacts, validate_source
from outbox.mail.text import snippet
from outbox.models import (
    FOLDER_OF,
    Account,
    Message,
    Origin,
    Role,
    Source,
    State,
    Status,
)
from outbox.models.bulk import Column, insert_blobs, insert_rows
from outbox.signals import Change, is_heard, tell_on_commit

_SUMMARY = 3  # visible recipients named in lists
_MESSAGE = (
    Column("owner_id", "bigint"),
    Column("account_id", "bigint"),
    Column("origin", "text"),
    Column("status", "text"),
    Column("folder", "text"),
    Column("subject", "text"),
    Column("from_header", "text"),
    Column("envelope_sender", "text"),
    Column("to_summary", "text"),
    Column("snippet", "text"),
    Column("message_id", "text"),
    Column("in_reply_to", "text"),
    Column("priority", "smallint"),
    Column("tags", "jsonb"),
    Column("metadata", "jsonb"),
    Column("idempotency_key", "text"),
    Column("size", "integer"),
    Column("recipient_count", "integer"),
    Column("attachment_count", "integer"),
    Column("needs_8bit", "boolean"),
    Column("needs_smtputf8", "boolean"),
    Column("on_uncertain", "text"),
    Column("created_at", "timestamptz"),
    Column("queued_at", "timestamptz"),
    Column("send_at", "timestamptz"),
    Column("expires_at", "timestamptz"),
)
_RECIPIENT = (
    Column("message_id", "bigint"),
    Column("role", "text"),
    Column("name", "text"),
    Column("address", "text"),
    Column("destination_id", "bigint"),
    Column("sender_key", "bigint"),
    Column("priority", "smallint"),
    Column("state", "text"),
    Column("next_attempt_at", "timestamptz"),
    Column("expires_at", "timestamptz"),
    Column("attempts", "integer"),
    Column("reply_enhanced", "text"),
    Column("reply_text", "text"),
    Column("reply_command", "text"),
    Column("remote_host", "text"),
    Column("remote_queue_id", "text"),
    Column("reason", "text"),
)
_NO_REPLY = ("",) * 6


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


@dataclass(frozen=True, slots=True)
class Finished:
    """A mail that was found sendable, and where it goes."""

    item: Outgoing
    facts: SourceFacts
    route: RouteIds


def queue_sources(items: Iterable[Outgoing]) -> list[Message]:
    """Queue finished mails as `queue_ids` does; return their messages."""
    ids = queue_ids(items)
    found = Message.objects.using(get_conf().database).in_bulk(ids)
    return [found[pk] for pk in ids]


def queue_ids(items: Iterable[Outgoing]) -> list[int]:
    """Queue finished mails, all or none; ring the bell when the transaction commits.

    Raises InvalidMailError for what can never be sent and NoAccountError, both before any row is
    written. An item whose idempotency key is known gives back the earlier message's id.
    """
    using = get_conf().database
    checked = [(item, _check(item)) for item in items]
    if not checked:
        return []
    with transaction.atomic(using=using):
        routes = _routes([item for item, _ in checked])
        finished = [
            Finished(item, facts, routes[item.account.pk if item.account else None])
            for item, facts in checked
        ]
        ids = iter(_store([one for one in finished if one.item.idempotency_key is None]))
        all_ids = [
            next(ids) if one.item.idempotency_key is None else _store_once(one) for one in finished
        ]
        bell.ring(using)
    return all_ids


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


def _routes(items: Sequence[Outgoing]) -> dict[int | None, RouteIds]:
    accounts = {item.account.pk if item.account else None: item.account for item in items}
    return {pk: route_of(account) for pk, account in accounts.items()}


def _store_once(one: Finished) -> int:
    """Store under the idempotency key; whoever comes second gets the first one's message."""
    using = get_conf().database
    known = Message.objects.using(using).filter(idempotency_key=one.item.idempotency_key)
    earlier = known.values_list("pk", flat=True).first()
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic(using=using):
            return _store([one])[0]
    except IntegrityError:
        return known.values_list("pk", flat=True).get()


def _store(finished: Sequence[Finished]) -> list[int]:
    now = timezone.now()
    values = [_message_values(one, now) for one in finished]
    ids = insert_rows(
        get_conf().database,
        "outbox_message",
        _MESSAGE,
        [[row[column.name] for column in _MESSAGE] for row in values],
    )
    store_parts(list(zip(ids, finished, strict=True)), now)
    return ids


def store_parts(finished: Sequence[tuple[int, Finished]], now: dt.datetime) -> None:
    """Write the sources and recipients of stored messages, inside the caller's transaction."""
    using = get_conf().database
    small = get_conf().inline_source_bytes
    rows = [(pk, one.item.source, one.facts.sha256) for pk, one in finished]
    insert_blobs(using, "outbox_source", [row for row in rows if len(row[1]) <= small])
    for pk, source, sha256 in rows:
        if len(source) > small:
            Source.of(pk, source, sha256).save(using=using, force_insert=True)
    recipients = [row for pk, one in finished for row in _recipient_rows(pk, one, now)]
    ids = insert_rows(
        using, "outbox_recipient", _RECIPIENT, recipients, now_for={"next_attempt_at"}
    )
    if is_heard("queued"):
        tell_on_commit(
            [
                Change(message_id=row[0], recipient_id=pk, address=row[3], state=State.QUEUED)
                for pk, row in zip(ids, recipients, strict=True)
            ],
            using,
        )


def fill(message: Message, one: Finished) -> None:
    """Give a draft's row what its finished mail decides."""
    for name, value in _described(one, timezone.now()).items():
        setattr(message, name, value)


def _described(one: Finished, now: dt.datetime) -> dict[str, Any]:
    item, facts = one.item, one.facts
    status = Status.SCHEDULED if item.send_at and item.send_at > now else Status.QUEUED
    return {
        "account_id": one.route.account_id,
        "status": status.value,
        "folder": FOLDER_OF[status].value,
        "subject": item.subject or facts.subject,
        "from_header": item.from_header,
        "envelope_sender": item.envelope_sender,
        "to_summary": _summary(item.recipients),
        "snippet": snippet(item.text, 120) if item.text else "",
        "message_id": (item.message_id or facts.message_id).strip("<> ")[:255],
        "in_reply_to": item.in_reply_to.strip("<> ")[:255],
        "priority": item.priority,
        "size": facts.size,
        "recipient_count": len(item.recipients),
        "attachment_count": item.attachment_count,
        "needs_8bit": facts.is_8bit,
        "needs_smtputf8": facts.needs_smtputf8,
        "on_uncertain": item.on_uncertain,
        "queued_at": now,
        "send_at": item.send_at,
        "expires_at": _expires_at(item, now),
    }


def _expires_at(item: Outgoing, now: dt.datetime) -> dt.datetime:
    lifetime = item.expires_after or dt.timedelta(seconds=get_conf().queue_lifetime)
    return (item.send_at or now) + lifetime


def _message_values(one: Finished, now: dt.datetime) -> dict[str, Any]:
    item = one.item
    return _described(one, now) | {
        "owner_id": item.owner.pk if item.owner else None,
        "origin": str(item.origin),
        "tags": list(item.tags),
        "metadata": dict(item.metadata),
        "idempotency_key": item.idempotency_key,
        "created_at": now,
    }


def _recipient_rows(pk: int, one: Finished, now: dt.datetime) -> Iterator[tuple[Any, ...]]:
    item = one.item
    sender_key = item.owner.pk if item.owner else 0
    expires_at = _expires_at(item, now)
    for recipient in item.recipients:
        yield (
            pk,
            str(recipient.role),
            recipient.name[:255],
            recipient.address,
            one.route.destination_id,
            sender_key,
            item.priority,
            State.QUEUED.value,
            item.send_at,
            expires_at,
            0,
            *_NO_REPLY,
        )


def _summary(recipients: Sequence[OutgoingRecipient]) -> str:
    visible = [one.name or one.address for one in recipients if one.role != Role.BCC]
    return ", ".join(visible[:_SUMMARY])[:200]
