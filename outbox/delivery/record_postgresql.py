"""Most of a group commit in one statement, on PostgreSQL.

Nearly all that is written are marks, and results of messages with one recipient. Together they take
one round trip, commit included, and the final dot of a message waits no longer than that. `record`
writes everything else.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connections

from outbox.db.bulk import as_json, fetch
from outbox.db.columns import Column, columns_of
from outbox.db.postgresql import expect_few
from outbox.delivery.job import Barrier, Mark, RecordItem, Result
from outbox.delivery.record_rows import (
    ATTEMPT_COLUMNS,
    RECIPIENT_COLUMNS,
    attempt_row,
    count_key,
    end_of,
    recipient_rows,
)
from outbox.models.delivery_count import UNCOUNTED, CountKey, DeliveryCount, TotalKey
from outbox.models.delivery_time import BOUNDS_MS, TimeKey, TimeKind
from outbox.models.erasure import keeps_content
from outbox.models.rollup import STATUS_COLUMNS, assignments, status_row
from outbox.models.transitions import RECORD, final_at_in_sql
from outbox.models.webhook import wanted_states

_NOW = "statement_timestamp()"
_KEYS = (
    Column("attempt_id", "bigint"),
    Column("recipient_id", "bigint"),
    Column("message_id", "bigint"),
    Column("erases", "boolean"),
)
_COUNTED = columns_of(DeliveryCount, CountKey._fields[1:])  # of the minute of the commit
_OF_COUNT = [Column(f"c_{one.name}", one.type) for one in _COUNTED]
_OF_TIME = (Column("t_wait_ms", "bigint"), Column("t_since", "timestamptz"))
_OF_ATTEMPT = [Column(f"a_{one.name}", one.type) for one in ATTEMPT_COLUMNS]
_OF_RECIPIENT = [Column(f"r_{one.name}", one.type) for one in RECIPIENT_COLUMNS]
_COLUMNS = (*_KEYS, *_OF_COUNT, *_OF_TIME, *STATUS_COLUMNS, *_OF_ATTEMPT, *_OF_RECIPIENT)
_NAMES = [one.name for one in _COLUMNS]
_NEEDED_LATER = [
    f"v.{one.name}" for one in (*_KEYS, *_OF_COUNT, *_OF_TIME, *STATUS_COLUMNS, *_OF_RECIPIENT)
]


def _new_value(prefix: str, column: Column) -> str:
    match column.name:
        case "ended_at":
            return _NOW
        case "final_at":
            return final_at_in_sql("v.r_state", _NOW)
    given = f"v.{prefix}{column.name}"
    if not column.kept_without:
        return given
    other = f"v.{prefix}{column.kept_without}"
    return f"CASE WHEN {other} IS NULL THEN t.{column.name} ELSE {given} END"


def _assignments(prefix: str, columns: Sequence[Column]) -> str:
    return ", ".join(f"{one.name} = {_new_value(prefix, one)}" for one in columns)


# An attempt is locked before its recipient, and the recipient before its message, as in `record`:
# each takes its values from the one before.
_WRITE = """
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%b::json) AS v({typed}) WHERE {few_results}
), marked AS (
    UPDATE outbox_attempt AS t SET dot_marked_at = {now} FROM unnest(%b::bigint[]) AS m(id)
    WHERE t.id = m.id AND {few_marks} AND t.ended_at IS NULL AND t.cancel_requested_at IS NULL
    RETURNING t.id
), ended AS (
    UPDATE outbox_attempt AS t SET {attempt} FROM v
    WHERE t.id = v.attempt_id AND t.ended_at IS NULL
    RETURNING {needed_later}
), changed AS (
    UPDATE outbox_recipient AS t SET {recipient} FROM ended AS v
    WHERE t.id = v.recipient_id AND {guard}
    RETURNING v.message_id, v.erases, {statuses}, {of_count}, {of_time}
), counted AS (
    INSERT INTO outbox_deliverycount AS t ({count_key}, count)
    SELECT date_trunc('minute', {now}) AS minute, {of_count}, COUNT(*) FROM changed AS v
    WHERE v.c_outcome <> '{uncounted}' GROUP BY minute, {of_count} ORDER BY {of_count}
    ON CONFLICT ({count_key}) DO UPDATE SET count = t.count + excluded.count
), totaled AS (
    INSERT INTO outbox_deliverytotal AS t ({total_key}, count)
    SELECT date_trunc('minute', {now}) AS minute, {of_total}, COUNT(*) FROM changed AS v
    WHERE v.c_outcome <> '{uncounted}' GROUP BY minute, {of_total} ORDER BY {of_total}
    ON CONFLICT ({total_key}) DO UPDATE SET count = t.count + excluded.count
), timed AS (
    INSERT INTO outbox_deliverytime AS t ({time_key}, count, total_ms)
    SELECT v.c_worker_key, m.kind, width_bucket(m.ms - 1, ARRAY[{bounds}]::bigint[]) AS bucket,
        COUNT(*), SUM(m.ms)
    FROM changed AS v CROSS JOIN LATERAL (VALUES
        ('{wait}', v.t_wait_ms),
        (v.c_outcome, CASE WHEN v.t_since IS NOT NULL
            THEN greatest(floor(EXTRACT(EPOCH FROM {now} - v.t_since) * 1000), 0)::bigint END)
    ) AS m(kind, ms)
    WHERE v.c_outcome <> '{uncounted}' AND m.ms IS NOT NULL
    GROUP BY v.c_worker_key, m.kind, bucket ORDER BY v.c_worker_key, m.kind, bucket
    ON CONFLICT ({time_key})
    DO UPDATE SET count = t.count + excluded.count, total_ms = t.total_ms + excluded.total_ms
), rolled AS (
    UPDATE outbox_message AS t SET {message} FROM changed AS v
    WHERE t.id = v.message_id AND t.status <> v.status
){erasing}
SELECT id FROM marked UNION ALL SELECT attempt_id FROM ended
"""
# Only in a commit that ends the delivery of a sensitive message.
_ERASING = """, erased AS (
    DELETE FROM outbox_source AS t USING changed AS v
    WHERE t.message_id = v.message_id AND v.erases AND t.erase_at IS NOT NULL
    RETURNING t.file
), discarded AS (
    INSERT INTO outbox_discardedfile (name, due_at) SELECT file, {now} FROM erased WHERE file <> ''
)"""


@cache
def _sql(*, erases: bool) -> str:
    return _WRITE.format(
        typed=", ".join(f"{one.name} {one.type}" for one in _COLUMNS),
        attempt=_assignments("a_", ATTEMPT_COLUMNS),
        recipient=_assignments("r_", RECIPIENT_COLUMNS),
        needed_later=", ".join(_NEEDED_LATER),
        statuses=", ".join(f"v.{one.name}" for one in STATUS_COLUMNS),
        message=assignments("v"),
        of_count=", ".join(f"v.{one.name}" for one in _OF_COUNT),
        count_key=", ".join(CountKey._fields),
        of_total=", ".join(f"v.c_{name}" for name in TotalKey._fields[1:]),
        total_key=", ".join(TotalKey._fields),
        of_time=", ".join(f"v.{one.name}" for one in _OF_TIME),
        time_key=", ".join(TimeKey._fields),
        bounds=", ".join(map(str, BOUNDS_MS)),
        wait=TimeKind.WAIT.value,
        uncounted=UNCOUNTED.value,
        erasing=_ERASING.format(now=_NOW) if erases else "",
        now=_NOW,
        guard=RECORD.fenced_guard,
        few_results=expect_few("v.attempt_id"),
        few_marks=expect_few("m.id"),
    )


def can_write(items: Sequence[RecordItem], using: str) -> bool:
    """Return whether the statement can write all of these, and each attempt is in it once."""
    if connections[using].vendor != "postgresql" or wanted_states(using):
        return False
    attempts = [
        item.attempt_id if isinstance(item, Mark) else item.job.attempt_id
        for item in items
        if isinstance(item, Mark) or (isinstance(item, Result) and item.job.is_whole)
    ]
    others = sum(not isinstance(item, Barrier) for item in items) - len(attempts)
    return bool(attempts) and not others and len(set(attempts)) == len(attempts)


def write(items: Sequence[RecordItem], using: str) -> list[Result]:
    """Write the marks and the results; return the results whose attempt had ended already."""
    marks = sorted(
        (item for item in items if isinstance(item, Mark)), key=lambda mark: mark.attempt_id
    )
    results = sorted(
        (item for item in items if isinstance(item, Result)),
        key=lambda result: result.job.attempt_id,
    )
    records = [dict(zip(_NAMES, _values(result), strict=True)) for result in results]
    parameters = [as_json(records), [mark.attempt_id for mark in marks]]
    sql = _sql(erases=any(record["erases"] for record in records))
    written = {pk for (pk,) in fetch(using, sql, parameters)}
    for mark in marks:
        mark.granted = mark.attempt_id in written
    return [result for result in results if result.job.attempt_id not in written]


def _values(result: Result) -> list[Any]:
    """Return the values of a result with one recipient, in the order of the columns."""
    attempt = attempt_row(result, None)
    (recipient,) = recipient_rows(result, RECORD, None)
    verdict = result.verdicts[0]
    status = status_row(verdict.state)
    erases = result.job.is_sensitive and not keeps_content(verdict.state, verdict.next_attempt_at)
    keys = (attempt.id, recipient.id, result.job.message_id, erases)
    counted = count_key(result, 0)[1:]
    times = (result.job.recipients[0].waited_ms, end_of(result, 0)[1])
    return [*keys, *counted, *times, *status, *attempt[1:], *recipient[1:]]
