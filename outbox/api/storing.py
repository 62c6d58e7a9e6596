"""Writes the rows of queued messages: a message, its source and its recipients.

Each table has one writer. PostgreSQL writes all three with one statement (`storing_postgresql`),
SQLite each with a statement of its own. Nothing is checked here, and no signal is sent.
"""

import datetime as dt
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connections
from django.db.models import Model

from outbox.api import storing_postgresql
from outbox.api.accounts import destinations_of
from outbox.api.outgoing import Checked
from outbox.api.rows import (
    account_key,
    destination_id_of,
    is_large,
    lifetime,
    message_values,
    recipient_values,
    remembered_for,
    sender_key,
)
from outbox.db.clock import database_now
from outbox.db.columns import complete
from outbox.db.packing import pack
from outbox.db.sqlite import raw_cursor
from outbox.models import FOLDER_OF, Message, Recipient, ReportRequest, Source, Status

_Values = Mapping[str, Any]
# The clock that claims compare with; in its own form, because SQLite compares times as texts.
_DUE_NOW = "COALESCE(?, strftime('%Y-%m-%d %H:%M:%f', 'now'))"
_UNLESS_KNOWN = " ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING"


def store(messages: Iterable[Checked], using: str) -> list[tuple[int | None, Checked]]:
    """Write the rows. Return each message with its id, which is None for a known idempotency key.

    Outside a transaction, accept only what `needs_no_transaction` allows. Raise NoAccountError.
    """
    is_postgresql = connections[using].vendor == "postgresql"
    stored = (storing_postgresql.store if is_postgresql else _store_by_table)(messages, using)
    for pk, one in stored:
        if pk is not None and is_large(one):
            until = _expires_at(pk, using) if one.item.sensitive else None
            source = Source.of(pk, one.item.source, one.facts.sha256, erase_at=until)
            source.save(using=using, force_insert=True)
    _store_requests(stored, using)
    return stored


def _store_requests(stored: Iterable[tuple[int | None, Checked]], using: str) -> None:
    """Store the reports that messages request."""
    requesting = [(pk, one.item) for pk, one in stored if pk is not None and _has_request(one)]
    if not requesting:
        return
    now = database_now(using)
    ReportRequest.objects.using(using).bulk_create(
        [
            ReportRequest(
                message_id=pk,
                notify=",".join(item.notified),
                ret=item.ret,
                envid=item.envid,
                due_at=max(item.send_at or now, now) if item.is_report_wanted else None,
            )
            for pk, item in requesting
        ]
    )


def _has_request(one: Checked) -> bool:
    item = one.item
    return bool(item.notified or item.ret or item.envid)


def _expires_at(pk: int, using: str) -> dt.datetime | None:
    return Message.objects.using(using).values_list("expires_at", flat=True).get(pk=pk)


def needs_no_transaction(messages: Sequence[Checked], using: str) -> bool:
    """Return whether `store` writes these messages whole or not at all, whatever happens."""
    if connections[using].vendor != "postgresql":
        return False
    if any(is_large(one) or _has_request(one) for one in messages):
        return False  # they have rows of their own
    return len(messages) <= storing_postgresql.GROUP


# --- SQLite ---------------------------------------------------------------------------------------


def _store_by_table(messages: Iterable[Checked], using: str) -> list[tuple[int | None, Checked]]:
    messages = list(messages)
    now = database_now(using)
    destinations = destinations_of(one.item.account for one in messages)
    remembered = remembered_for(
        ((one, destinations[account_key(one.item)]) for one in messages), using
    )
    adapt = _adapter(using)
    stored: list[tuple[int | None, Checked]] = []
    sources: list[_Values] = []
    recipients: list[_Values] = []
    with raw_cursor(connections[using]) as cursor:
        for one in messages:
            destination = destinations[account_key(one.item)]
            values = adapt(
                message_values(one) | _moments(one, now) | {"account_id": destination.account_id}
            )
            pk = _write_message(cursor, one, values)
            stored.append((pk, one))
            if pk is None:
                continue
            if not is_large(one):
                data = pack(one.item.source)
                until = values["expires_at"] if one.item.sensitive else None
                source = {"message_id": pk, "data": data, "sha256": one.facts.sha256}
                sources.append(source | {"erase_at": until})
            shared = _shared_by_recipients(pk, one, values)
            recipients += [
                shared
                | own
                | {"destination_id": destination_id_of(own["address"], destination, remembered)}
                for own in recipient_values(one)
            ]
        _insert_rows(cursor, Source, sources)
        _insert_rows(cursor, Recipient, recipients)
    return stored


def _moments(one: Checked, now: dt.datetime) -> dict[str, Any]:
    """Return the columns of a message that depend on the moment at which it is queued."""
    item = one.item
    status = Status.SCHEDULED if item.send_at and item.send_at > now else Status.QUEUED
    latest = max(item.send_at or now, now) + lifetime(item)  # a time that has passed means now
    values = {
        "status": status.value,
        "folder": FOLDER_OF[status].value,
        "listed_at": now,
        "queued_at": now,
        "expires_at": item.expires_at or latest,
    }
    return values if one.draft else values | {"created_at": now}


def _shared_by_recipients(pk: int, one: Checked, message: _Values) -> dict[str, Any]:
    return {
        "message_id": pk,
        "sender_key": sender_key(one.item),
        "priority": one.item.place,
        "next_attempt_at": message["send_at"],
        "expires_at": message["expires_at"],
    }


def _write_message(cursor: sqlite3.Cursor, one: Checked, values: _Values) -> int | None:
    if one.draft is not None:
        places = ", ".join(f"{name} = ?" for name in values)
        sql = f"UPDATE outbox_message SET {places} WHERE id = ?"  # noqa: S608  # names are ours
        cursor.execute(sql, [*values.values(), one.draft.pk])
        return one.draft.pk
    cursor.execute(_insert(Message, tuple(values)) + _UNLESS_KNOWN, list(values.values()))
    return cursor.lastrowid if cursor.rowcount else None


def _insert_rows(cursor: sqlite3.Cursor, model: type[Model], rows: Sequence[_Values]) -> None:
    if rows:
        cursor.executemany(_insert(model, tuple(rows[0])), [list(row.values()) for row in rows])


@cache
def _insert(model: type[Model], names: tuple[str, ...]) -> str:
    given = {name: _DUE_NOW if name == "next_attempt_at" else "?" for name in names}
    columns = complete(model, given)
    table = model._meta.db_table
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"  # noqa: S608  # names are ours


def _adapter(using: str) -> Callable[[_Values], dict[str, Any]]:
    """Return a function that writes times and JSON as Django stores them; each time only once."""
    write = cache(connections[using].ops.adapt_datetimefield_value)

    def adapt(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return write(value)
        if isinstance(value, uuid.UUID):  # the key of a user
            return value.hex
        return json.dumps(value) if isinstance(value, list | dict) else value

    return lambda values: {name: adapt(value) for name, value in values.items()}
