"""The roll-up of recipients' states into their message's status: one function, one statement.

The same statement keeps the message's failures. A failure that the message did not have before is
unseen and unreported until its owner learns of it.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from django.db import connections

from outbox.models.bulk import Column, update_rows
from outbox.models.message import Message
from outbox.models.states import FAILURES, FOLDER_OF, Folder, State, Status, folder_of, status_of

_ANY = "SUM(CASE WHEN r.state = '{}' THEN 1 ELSE 0 END) > 0"
_ALL = "SUM(CASE WHEN r.state = '{}' THEN 1 ELSE 0 END) = COUNT(*)"
_EITHER = "SUM(CASE WHEN r.state = '{}' OR ({}) THEN 1 ELSE 0 END) > 0"
# One that is being sent counts as what it was before: a delivery is too short to store its status.
_SENDING = f"r.state = '{State.SENDING}' AND r.attempts"
_QUEUED = _EITHER.format(State.QUEUED, f"{_SENDING} = 0")
_DEFERRED = _EITHER.format(State.DEFERRED, f"{_SENDING} > 0")
_UNTRIED = "SUM(r.attempts) = 0"

_STATUS = f"""CASE
    WHEN {_ANY.format(State.UNCERTAIN)} THEN '{Status.UNCERTAIN}'
    WHEN {_QUEUED} AND {_UNTRIED} AND m.send_at > %s THEN '{Status.SCHEDULED}'
    WHEN {_QUEUED} THEN '{Status.QUEUED}'
    WHEN {_DEFERRED} THEN '{Status.DEFERRED}'
    WHEN {_ANY.format(State.HELD)} THEN '{Status.HELD}'
    WHEN {_ALL.format(State.SENT)} THEN '{Status.SENT}'
    WHEN {_ALL.format(State.CANCELLED)} THEN '{Status.CANCELLED}'
    WHEN {_ANY.format(State.SENT)} THEN '{Status.PARTIAL}'
    ELSE '{Status.FAILED}' END"""
_FAILED = "SUM(CASE WHEN r.state IN ({}) THEN 1 ELSE 0 END)".format(
    ", ".join(f"'{state}'" for state in FAILURES)
)

_FOLDER = "CASE WHEN s.status = '{}' AND s.failed_count = 0 THEN '{}' {} END".format(
    Status.PARTIAL,
    Folder.SENT,
    " ".join(f"WHEN s.status = '{status}' THEN '{folder}'" for status, folder in FOLDER_OF.items()),
)
_COLUMNS = (
    Column("status", "text"),
    Column("folder", "text"),
    Column("has_failure", "boolean"),
    Column("failed_count", "integer"),
)


def failure_flags(new: str) -> str:
    """Return the assignments that mark a message when more of its recipients failed than before.

    `new` is the source of the new values: it has `failed_count`.
    """
    grown = f"{new}.failed_count > t.failed_count"
    return ", ".join(
        f"{flag} = ({new}.failed_count > 0 AND (t.{flag} OR {grown}))"
        for flag in ("failure_unseen", "failure_unreported")
    )


def single_values(state: State) -> tuple[str, str, bool, int]:
    """Return status, folder, has_failure and failed_count of a message with one recipient."""
    status, has_failure = status_of(state), state in FAILURES
    folder = folder_of(status, has_failure=has_failure)
    return status.value, folder.value, has_failure, int(has_failure)


def roll_up_single(states: Mapping[int, State], using: str) -> None:
    """Write the status of messages whose only recipient came into the given state: no counting."""
    rows = [(message_id, *single_values(state)) for message_id, state in sorted(states.items())]
    update_rows(
        using,
        "outbox_message",
        _COLUMNS,
        rows,
        set_also=failure_flags("v"),
        guard="t.status <> v.status",
    )


def roll_up(
    message_ids: Collection[int], now: dt.datetime, using: str, *, announces: bool = True
) -> None:
    """Write the status of these messages from their recipients, inside the caller's transaction.

    Two transactions may change different recipients of one message; the second waits for the
    message's row and only then counts, in a statement of its own that sees the first's commit.
    Failures that are history, as those of imported messages, are not announced to anyone.
    """
    ids = sorted(set(message_ids))
    if not ids:
        return
    shared = Message.objects.using(using).filter(pk__in=ids, recipient_count__gt=1)
    list(shared.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    connection = connections[using]
    params: list[Any]
    if connection.vendor == "postgresql":
        among, params = "= ANY(%s)", [now, ids]
    else:
        among = f"IN ({', '.join(['%s'] * len(ids))})"
        params = [connection.ops.adapt_datetimefield_value(now), *ids]
    flags = f", {failure_flags('s')}" if announces else ""
    sql = f"""
        UPDATE outbox_message AS t SET status = s.status, folder = {_FOLDER},
            has_failure = (s.failed_count > 0), failed_count = s.failed_count{flags}
        FROM (
            SELECT m.id, {_STATUS} AS status, {_FAILED} AS failed_count
            FROM outbox_message m JOIN outbox_recipient r ON r.message_id = m.id
            WHERE m.id {among} GROUP BY m.id, m.send_at
        ) AS s WHERE t.id = s.id
            AND (t.status <> s.status OR t.failed_count <> s.failed_count)"""  # noqa: S608  # states are ours
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
