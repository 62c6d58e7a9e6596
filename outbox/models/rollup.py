"""The roll-up of recipients' states into their message's status.

`roll_up` writes it, with the message's failures. A failure that the message did not have before is
unseen and unreported until its owner learns of it. A group commit writes the same columns in its
own statement (`outbox.delivery.record_postgresql`).
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db import connections

from outbox.db.bulk import Among, update_rows
from outbox.db.columns import columns_of
from outbox.models.message import Message
from outbox.models.states import FAILURES, FOLDER_OF, Folder, State, Status, folder_of, status_of

_NONE: Mapping[int, State] = MappingProxyType({})
_ANY = "SUM(CASE WHEN r.state = '{}' THEN 1 ELSE 0 END) > 0"
_ALL = "SUM(CASE WHEN r.state = '{}' THEN 1 ELSE 0 END) = COUNT(*)"
_EITHER = "SUM(CASE WHEN r.state = '{}' OR ({}) THEN 1 ELSE 0 END) > 0"
# A recipient that is being sent counts as what it was before: a delivery is too short to show.
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

_FOLDER = "CASE WHEN c.status = '{}' AND c.failed_count = 0 THEN '{}' {} END".format(
    Status.PARTIAL,
    Folder.SENT,
    " ".join(f"WHEN c.status = '{status}' THEN '{folder}'" for status, folder in FOLDER_OF.items()),
)


class StatusRow(NamedTuple):
    """The columns of a message that its recipients decide."""

    status: str
    folder: str
    has_failure: bool
    failed_count: int


STATUS_COLUMNS = columns_of(Message, StatusRow._fields)


@cache
def status_row(state: State) -> StatusRow:
    """Return the columns of a message whose only recipient is in this state."""
    status, has_failure = status_of(state), state in FAILURES
    folder = folder_of(status, has_failure=has_failure)
    return StatusRow(status.value, folder.value, has_failure, int(has_failure))


def assignments(source: str, *, announces: bool = True) -> str:
    """Return the assignments, in SQL, that roll up a message `t` from a row of `source`."""
    columns = [f"{one.name} = {source}.{one.name}" for one in STATUS_COLUMNS]
    return ", ".join([*columns, *([_flags(source)] if announces else [])])


def _flags(source: str) -> str:
    """Return the assignments that mark a message of which more recipients failed than before."""
    grown = f"{source}.failed_count > t.failed_count"
    return ", ".join(
        f"{flag} = ({source}.failed_count > 0 AND (t.{flag} OR {grown}))"
        for flag in ("failure_unseen", "failure_unreported")
    )


def roll_up(
    message_ids: Collection[int],
    now: dt.datetime,
    using: str,
    *,
    singles: Mapping[int, State] = _NONE,
    announces: bool = True,
) -> None:
    """Write the status of these messages from their recipients, inside the caller's transaction.

    `singles` are further messages, each with the state of its only recipient. Failures that are
    history, such as those of imported messages, are not announced.
    """
    _write_singles(singles, using)
    ids = sorted(set(message_ids))
    if ids:
        lock_shared(ids, using)
        _count(ids, now, using, announces=announces)


def _write_singles(states: Mapping[int, State], using: str) -> None:
    rows = [(message_id, *status_row(state)) for message_id, state in sorted(states.items())]
    update_rows(
        using,
        "outbox_message",
        STATUS_COLUMNS,
        rows,
        set_also=_flags("v"),
        guard="t.status <> v.status",
    )


def lock_shared(ids: Collection[int], using: str) -> None:
    """Lock the messages with several recipients, which transactions may change at the same time.

    The second transaction waits here. It counts only then, in a statement of its own, which sees
    the commit of the first. A transaction that rolls up several times calls it with all messages
    first, since every transaction locks messages in the order of their keys.
    """
    shared = Message.objects.using(using).filter(Among("pk", ids), recipient_count__gt=1)
    list(shared.order_by("pk").select_for_update(no_key=True).values_list("pk"))


def _count(ids: Sequence[int], now: dt.datetime, using: str, *, announces: bool) -> None:
    connection = connections[using]
    params: list[Any]
    if connection.vendor == "postgresql":
        among, params = "= ANY(%s)", [now, ids]
    else:
        among = f"IN ({', '.join(['%s'] * len(ids))})"
        params = [connection.ops.adapt_datetimefield_value(now), *ids]
    sql = f"""
        UPDATE outbox_message AS t SET {assignments("s", announces=announces)}
        FROM (
            SELECT c.*, {_FOLDER} AS folder, c.failed_count > 0 AS has_failure
            FROM (
                SELECT m.id, {_STATUS} AS status, {_FAILED} AS failed_count
                FROM outbox_message m JOIN outbox_recipient r ON r.message_id = m.id
                WHERE m.id {among} GROUP BY m.id, m.send_at
            ) AS c
        ) AS s WHERE t.id = s.id
            AND (t.status <> s.status OR t.failed_count <> s.failed_count)"""  # noqa: S608  # states are ours
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
