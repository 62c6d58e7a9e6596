"""Most of what a group commit writes, by one statement: PostgreSQL's way.

Marks, and the results of mails with one recipient, are nearly all there is to write. Together they
take one round trip, commit included; a mail's dot waits no longer than that. `record` writes
whatever else there is, and says what every table gets.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connections

from outbox.delivery.rows import ATTEMPT, RECIPIENT, SETTLED, attempt_row, recipient_rows
from outbox.delivery.unit import Mark, Passed, Result, Unit
from outbox.models import State
from outbox.models.bulk import Column, are_few, as_json, fetch
from outbox.models.rollup import failure_flags, single_values
from outbox.models.webhook import wanted_states

_NOW = "statement_timestamp()"
_OWN = (
    Column("attempt", "bigint"),
    Column("recipient", "bigint"),
    Column("message", "bigint"),
    Column("is_settled", "boolean"),
    Column("status", "text"),
    Column("folder", "text"),
    Column("has_failure", "boolean"),
    Column("failed_count", "integer"),
)
_OF_ATTEMPT = [Column(f"a_{one.name}", one.type) for one in ATTEMPT]
_OF_RECIPIENT = [Column(f"r_{one.name}", one.type) for one in RECIPIENT]
_NAMES = [one.name for one in (*_OWN, *_OF_ATTEMPT, *_OF_RECIPIENT)]
_NEEDED_LATER = [f"v.{one.name}" for one in (*_OWN, *_OF_RECIPIENT)]


def _new_value(prefix: str, column: Column) -> str:
    match column.name:
        case "ended_at":
            return _NOW
        case "settled_at":
            return f"CASE WHEN v.is_settled THEN {_NOW} END"
    given = f"v.{prefix}{column.name}"
    return f"COALESCE({given}, t.{column.name})" if column.keeps else given


def _assignments(prefix: str, columns: Sequence[Column]) -> str:
    return ", ".join(f"{one.name} = {_new_value(prefix, one)}" for one in columns)


# An attempt is locked before its recipient and that before its message, as in `record`: each gets
# its values from what came before it.
_WRITE = """
WITH v AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%b::json) AS v({typed}) WHERE {few_results}
), marked AS (
    UPDATE outbox_attempt AS t SET dot_marked_at = {now} FROM unnest(%b::bigint[]) AS m(id)
    WHERE t.id = m.id AND {few_marks} AND t.ended_at IS NULL AND t.cancel_requested_at IS NULL
    RETURNING t.id
), ended AS (
    UPDATE outbox_attempt AS t SET {attempt} FROM v
    WHERE t.id = v.attempt AND t.ended_at IS NULL
    RETURNING {needed_later}
), changed AS (
    UPDATE outbox_recipient AS t SET {recipient} FROM ended AS v
    WHERE t.id = v.recipient AND t.attempt_id = v.attempt AND t.state = '{sending}'
    RETURNING v.message, v.status, v.folder, v.has_failure, v.failed_count
), rolled AS (
    UPDATE outbox_message AS t SET status = v.status, folder = v.folder,
        has_failure = v.has_failure, failed_count = v.failed_count, {flags}
    FROM changed AS v
    WHERE t.id = v.message AND t.status <> v.status
)
SELECT id FROM marked UNION ALL SELECT attempt FROM ended
""".format(  # noqa: S608  # names and constants are ours
    typed=", ".join(f"{one.name} {one.type}" for one in (*_OWN, *_OF_ATTEMPT, *_OF_RECIPIENT)),
    attempt=_assignments("a_", ATTEMPT),
    recipient=_assignments("r_", RECIPIENT),
    needed_later=", ".join(_NEEDED_LATER),
    flags=failure_flags("v"),
    now=_NOW,
    sending=State.SENDING.value,
    few_results=are_few("v.attempt"),
    few_marks=are_few("m.id"),
)


def can_write(units: Sequence[Unit], using: str) -> bool:
    """Tell whether the statement has a place for all of these, and each attempt is in it once."""
    if connections[using].vendor != "postgresql" or wanted_states(using):
        return False
    touched = [
        unit.attempt_id if isinstance(unit, Mark) else unit.job.attempt_id
        for unit in units
        if isinstance(unit, Mark) or (isinstance(unit, Result) and unit.job.is_whole)
    ]
    others = sum(not isinstance(unit, Passed) for unit in units) - len(touched)
    return bool(touched) and not others and len(set(touched)) == len(touched)


def write(units: Sequence[Unit], using: str) -> list[Result]:
    """Write the marks and the results; return the results whose attempt had ended already."""
    marks = sorted(
        (unit for unit in units if isinstance(unit, Mark)), key=lambda mark: mark.attempt_id
    )
    results = sorted(
        (unit for unit in units if isinstance(unit, Result)),
        key=lambda result: result.job.attempt_id,
    )
    records = [dict(zip(_NAMES, _values(result), strict=True)) for result in results]
    parameters = [as_json(records), [mark.attempt_id for mark in marks]]
    written = {pk for (pk,) in fetch(using, _WRITE, parameters)}
    for mark in marks:
        mark.granted = mark.attempt_id in written
    return [result for result in results if result.job.attempt_id not in written]


def _values(result: Result) -> list[Any]:
    verdict = result.verdicts[0]
    attempt_id, *attempt = attempt_row(result, None)
    ((recipient_id, *recipient),) = recipient_rows(result, None)
    return [
        attempt_id,
        recipient_id,
        result.job.message_id,
        verdict.state in SETTLED,
        *single_values(verdict.state),
        *attempt,
        *recipient,
    ]
