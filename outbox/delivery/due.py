"""What is due, and where: a skip scan over destinations, never a count."""

import datetime as dt
from typing import Any

from outbox.models.bulk import fetch

# What is in the index waits or is being sent; only the rows themselves tell these apart.
_LISTED = "r.next_attempt_at IS NOT NULL"
_WAITS = f"{_LISTED} AND r.state IN ('queued', 'deferred')"

_WAITING = f"""
WITH RECURSIVE walk(destination_id) AS (
    SELECT MIN(r.destination_id) FROM outbox_recipient r WHERE {_LISTED}
    UNION ALL
    SELECT (SELECT MIN(r.destination_id) FROM outbox_recipient r
            WHERE {_LISTED} AND r.destination_id > walk.destination_id)
    FROM walk WHERE walk.destination_id IS NOT NULL
)
SELECT walk.destination_id,
    (SELECT MIN(r.next_attempt_at) FROM outbox_recipient r
     WHERE {_WAITS} AND r.destination_id = walk.destination_id)
FROM walk WHERE walk.destination_id IS NOT NULL"""  # noqa: S608  # constants only


def waiting(using: str) -> dict[int, dt.datetime]:
    """Return, per destination with waiting mail, when its first recipient is due."""
    moments = {row[0]: aware(row[1]) for row in fetch(using, _WAITING, [])}
    return {pk: moment for pk, moment in moments.items() if moment is not None}


def aware(value: Any) -> dt.datetime | None:
    """Turn what a raw cursor gave for a time into an aware one; SQLite gives text."""
    if value is None:
        return None
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
