"""The rows of queued mails: a message, its source and its recipients; a statement a table.

Nothing is judged here, and nobody is told. `statement` writes the same rows at once, where the
database can.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils import timezone

from outbox.api.outgoing import Checked, Outgoing, OutgoingRecipient
from outbox.api.routes import RouteIds, route_of
from outbox.conf import get_conf
from outbox.mail.text import snippet
from outbox.mail.threads import bare_message_id
from outbox.models import FOLDER_OF, Message, Role, Source, State, Status
from outbox.models.bulk import Column, insert_blobs, insert_rows
from outbox.models.packing import pack

_SUMMARY = 3  # visible recipients named in lists
MESSAGE = (
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
    Column("related_type_id", "integer"),
    Column("related_id", "text"),
    Column("idempotency_key", "text"),
    Column("size", "integer"),
    Column("recipient_count", "integer"),
    Column("attachment_count", "integer"),
    Column("needs_8bit", "boolean"),
    Column("needs_smtputf8", "boolean"),
    Column("on_uncertain", "text"),
    Column("wants_report", "boolean"),
    Column("created_at", "timestamptz"),
    Column("listed_at", "timestamptz"),
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
UNLESS_KNOWN = "ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"


def store_by_table(mails: Sequence[Checked], using: str) -> list[int | None]:
    """Write the rows inside the caller's transaction; None where the idempotency key is known."""
    now = timezone.now()
    routes = routes_of(mails)
    records = [message_record(one, now) for one in mails]
    for record in records:
        record["account_id"] = routes[record["account_id"]].account_id
    keyless = iter(_insert([row for row in records if row["idempotency_key"] is None], using))
    ids = [
        next(keyless) if row["idempotency_key"] is None else _insert_once(row, using)
        for row in records
    ]
    stored = [
        (pk, one, routes[account_key(one.item)])
        for pk, one in zip(ids, mails, strict=True)
        if pk is not None
    ]
    store_parts(stored, now, using)
    return ids


def routes_of(mails: Iterable[Checked]) -> dict[int | None, RouteIds]:
    """Return the routes of these mails' accounts by their ids, made where they are missing.

    Raises NoAccountError.
    """
    accounts = {account_key(one.item): one.item.account for one in mails}
    return {key: route_of(account) for key, account in accounts.items()}


def account_key(item: Outgoing) -> int | None:
    """Return the id of the account that was named; None asks for the default one."""
    return item.account.pk if item.account else None


def _insert(records: Sequence[dict[str, Any]], using: str, *, behind: str = "") -> list[int]:
    rows = [[record[column.name] for column in MESSAGE] for record in records]
    return insert_rows(using, "outbox_message", MESSAGE, rows, behind=behind)


def _insert_once(record: dict[str, Any], using: str) -> int | None:
    found = _insert([record], using, behind=UNLESS_KNOWN)
    return found[0] if found else None


def store_parts(
    stored: Sequence[tuple[int, Checked, RouteIds]], now: dt.datetime, using: str
) -> None:
    """Write the sources and recipients of stored messages, inside the caller's transaction."""
    small = [(pk, one) for pk, one, _ in stored if not is_large(one)]
    insert_blobs(
        using, "outbox_source", [(pk, pack(one.item.source), one.facts.sha256) for pk, one in small]
    )
    store_large_sources([(pk, one) for pk, one, _ in stored], using)
    recipients = [row for entry in stored for row in _recipient_rows(*entry, now)]
    insert_rows(using, "outbox_recipient", _RECIPIENT, recipients, now_for={"next_attempt_at"})


def store_large_sources(stored: Iterable[tuple[int, Checked]], using: str) -> None:
    """Write the sources that go to storage, inside the caller's transaction."""
    for pk, one in stored:
        if is_large(one):
            row = Source.of(pk, one.item.source, one.facts.sha256)
            row.save(using=using, force_insert=True)


def is_large(one: Checked) -> bool:
    """Tell whether its source goes to storage."""
    return len(one.item.source) > get_conf().inline_source_bytes


def fill(message: Message, one: Checked, route: RouteIds) -> None:
    """Give a draft's row what its finished mail decides."""
    for name, value in _described(one, timezone.now()).items():
        setattr(message, name, value)
    message.account_id = route.account_id


def message_record(one: Checked, now: dt.datetime) -> dict[str, Any]:
    """Return the values of a message's columns; the account is the one named, or None."""
    item = one.item
    record = _described(one, now)
    record["account_id"] = account_key(item)
    record["owner_id"] = item.owner.pk if item.owner else None
    record["origin"] = str(item.origin)
    record["tags"] = list(item.tags)
    record["metadata"] = dict(item.metadata)
    record["related_type_id"] = _type_id(item.related) if item.related else None
    record["related_id"] = str(item.related.pk) if item.related else ""
    record["idempotency_key"] = item.idempotency_key
    record["created_at"] = now
    return record


def _described(one: Checked, now: dt.datetime) -> dict[str, Any]:
    item, facts = one.item, one.facts
    status = Status.SCHEDULED if item.send_at and item.send_at > now else Status.QUEUED
    return {
        "status": status.value,
        "folder": FOLDER_OF[status].value,
        "subject": item.subject or facts.subject,
        "from_header": item.from_header,
        "envelope_sender": item.envelope_sender,
        "to_summary": _summary(item.recipients),
        "snippet": snippet(item.text, 120) if item.text else "",
        "message_id": bare_message_id(item.message_id or facts.message_id),
        "in_reply_to": bare_message_id(item.in_reply_to),
        "priority": item.priority,
        "size": facts.size,
        "recipient_count": len(item.recipients),
        "attachment_count": item.attachment_count,
        "needs_8bit": facts.is_8bit,
        "needs_smtputf8": facts.needs_smtputf8,
        "on_uncertain": item.on_uncertain,
        "wants_report": item.wants_report,
        "listed_at": now,
        "queued_at": now,
        "send_at": item.send_at,
        "expires_at": _expires_at(item, now),
    }


def _type_id(thing: Model) -> int:
    kinds = ContentType.objects.db_manager(get_conf().database)
    return kinds.get_for_model(thing, for_concrete_model=True).pk


def _expires_at(item: Outgoing, now: dt.datetime) -> dt.datetime:
    if item.expires_at is not None:
        return item.expires_at
    lifetime = item.expires_after or dt.timedelta(seconds=get_conf().queue_lifetime)
    return max(item.send_at or now, now) + lifetime  # a time that has passed means now


def _recipient_rows(
    pk: int, one: Checked, route: RouteIds, now: dt.datetime
) -> Iterator[tuple[Any, ...]]:
    item = one.item
    sender_key = item.owner.pk if item.owner else 0
    expires_at = _expires_at(item, now)
    for recipient in item.recipients:
        yield (
            pk,
            str(recipient.role),
            recipient.name[:255],
            recipient.address,
            route.destination_id,
            sender_key,
            item.urgency,
            State.QUEUED.value,
            item.send_at,
            expires_at,
            0,
            *_NO_REPLY,
        )


def _summary(recipients: Sequence[OutgoingRecipient]) -> str:
    visible = [one.name or one.address for one in recipients if one.role != Role.BCC]
    return ", ".join(visible[:_SUMMARY])[:200]
