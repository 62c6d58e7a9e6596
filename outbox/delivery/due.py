"""What is due, and where: a skip scan over the due index, never a count.

Its cost is the number of (destination, sender, priority) groups that wait, not of mails.
"""

import datetime as dt
from typing import Any

from django.db import connections

_DUE = "state IN ('queued', 'deferred')"
_NEXT = f"""(
    SELECT r.{{}} FROM outbox_recipient r
    WHERE {_DUE} AND (r.destination_id, r.sender_key, r.priority)
        > (w.destination_id, w.sender_key, w.priority)
    ORDER BY r.destination_id, r.sender_key, r.priority LIMIT 1)"""  # noqa: S608  # constants only

_WAITING = f"""
WITH RECURSIVE walk(destination_id, sender_key, priority) AS (
    SELECT * FROM (
        SELECT destination_id, sender_key, priority FROM outbox_recipient
        WHERE {_DUE} AND destination_id IS NOT NULL
        ORDER BY destination_id, sender_key, priority LIMIT 1) AS first
    UNION ALL
    SELECT {_NEXT.format("destination_id")}, {_NEXT.format("sender_key")},
        {_NEXT.format("priority")}
    FROM walk w WHERE w.destination_id IS NOT NULL
)
SELECT w.destination_id,
    (SELECT r.next_attempt_at FROM outbox_recipient r
     WHERE {_DUE} AND r.destination_id = w.destination_id AND r.sender_key = w.sender_key
       AND r.priority = w.priority ORDER BY r.next_attempt_at LIMIT 1)
FROM walk w WHERE w.destination_id IS NOT NULL
"""  # noqa: S608  # constants only


def waiting(using: str) -> dict[int, dt.datetime]:
    """Return, per destination with waiting mail, when its first recipient is due."""
    with connections[using].cursor() as cursor:
        cursor.execute(_WAITING)
        rows = cursor.fetchall()
    earliest: dict[int, dt.datetime] = {}
    for destination_id, value in rows:
        moment = aware(value)
        if moment is not None and moment <= earliest.get(destination_id, moment):
            earliest[destination_id] = moment
    return earliest


def aware(value: Any) -> dt.datetime | None:
    """Turn what a raw cursor gave for a time into an aware one; SQLite gives text."""
    if value is None:
        return None
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
