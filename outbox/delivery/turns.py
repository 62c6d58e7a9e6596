"""Whose turn it is: which due recipients of a destination a claim takes, and locks.

The most urgent come first, but none takes all while less urgent mail waits. Within one urgency
senders take turns: the one behind the sender served last comes first. What one has no use for goes
to those who had to stop at their share.

Senders are found by a skip scan, from one to the next along the claim's index, so ten thousand
messages of one sender cost no more to pass than one. What workers have in hand stays in that index
until its outcome is written, in front of what waits, and a claim passes over it row by row
(docs/decisions/0008). A level or sender of which all is in hand has no share.
"""

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from outbox.models import DUE, Recipient
from outbox.models.bulk import fetch

Row = tuple[int, int, str, int, dt.datetime | None, int, int]
FIELDS = (
    "id",
    "message_id",
    "address",
    "attempts",
    "expires_at",
    "sender_key",
    "attempts_at_retry",
)

_SENDERS_MAX = 50  # senders that one claim serves; the others have their turn at the next
_URGENT_SHARE = 0.75  # of a claim, while less urgent mail waits too
_LISTED = "destination_id = %s AND next_attempt_at IS NOT NULL"  # in hand, too
_DUE = f"{_LISTED} AND state IN ('queued', 'deferred')"

_LEVELS = f"""
WITH RECURSIVE level(priority) AS (
    SELECT MIN(priority) FROM outbox_recipient WHERE {_LISTED}
    UNION ALL
    SELECT (SELECT MIN(r.priority) FROM outbox_recipient r
            WHERE {_LISTED} AND r.priority > level.priority)
    FROM level WHERE level.priority IS NOT NULL
)
SELECT priority FROM level WHERE priority IS NOT NULL"""  # noqa: S608  # constants only

_SENDERS = f"""
WITH RECURSIVE walk(sender_key) AS (
    SELECT MIN(sender_key) FROM outbox_recipient
    WHERE {_LISTED} AND priority = %s AND sender_key > %s
    UNION ALL
    SELECT (SELECT MIN(r.sender_key) FROM outbox_recipient r
            WHERE {_LISTED} AND r.priority = %s AND r.sender_key > walk.sender_key)
    FROM walk WHERE walk.sender_key IS NOT NULL
)
SELECT sender_key FROM walk WHERE sender_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM outbox_recipient r
    WHERE {_DUE} AND r.priority = %s AND r.sender_key = walk.sender_key AND r.next_attempt_at <= %s)
LIMIT %s"""  # noqa: S608  # constants only

_LOCK = f"""
SELECT r.* FROM unnest(%s::bigint[]) WITH ORDINALITY AS sender(key, turn)
CROSS JOIN LATERAL (
    SELECT {", ".join(FIELDS)} FROM outbox_recipient
    WHERE {_DUE} AND priority = %s AND sender_key = sender.key AND next_attempt_at <= %s
        AND id <> ALL(%s::bigint[])
    ORDER BY next_attempt_at, id LIMIT %s FOR UPDATE SKIP LOCKED
) AS r ORDER BY sender.turn"""  # noqa: S608  # constants only


@dataclass(frozen=True, slots=True)
class Due:
    """What may be taken: due at `now`, of one destination."""

    destination_id: int
    now: dt.datetime
    using: str


def take(due: Due, limit: int, after_sender: int) -> list[Row]:
    """Lock up to `limit` recipients, inside the caller's transaction."""
    levels = [row[0] for row in fetch(due.using, _LEVELS, [due.destination_id] * 2)]
    rows: list[Row] = []
    left_over: list[tuple[int, list[int]]] = []
    for number, priority in enumerate(levels, start=1):
        left = limit - len(rows)
        room = left if number == len(levels) else math.ceil(left * _URGENT_SHARE)
        senders = _senders(due, priority, after_sender)
        taken, cut_short = _serve(due, priority, senders, room, [])
        rows += taken
        left_over.append((priority, cut_short))
    for priority, senders in left_over:
        if senders and len(rows) < limit:
            rows += _serve(due, priority, senders, limit - len(rows), rows)[0]
    return rows


def _senders(due: Due, priority: int, after_sender: int) -> list[int]:
    """Return the senders with due mail in the order of their turns."""
    behind = _walk(due, priority, after_sender, _SENDERS_MAX)
    if len(behind) == _SENDERS_MAX:
        return behind
    first = _walk(due, priority, -1, _SENDERS_MAX - len(behind))
    return behind + [key for key in first if key <= after_sender]


def _walk(due: Due, priority: int, after: int, most: int) -> list[int]:
    place = (due.destination_id, priority)
    moment = due.now
    if connections[due.using].vendor == "sqlite":
        moment = connections[due.using].ops.adapt_datetimefield_value(due.now)  # type: ignore[assignment]  # SQLite compares texts
    params = [*place, after, *place, *place, moment, most]
    return [row[0] for row in fetch(due.using, _SENDERS, params)]


def _serve(
    due: Due, priority: int, senders: Sequence[int], room: int, have: Sequence[Row]
) -> tuple[list[Row], list[int]]:
    """Give each sender an equal share of the room; return the rows and who had to stop at it."""
    if not senders or room <= 0:
        return [], []
    share = math.ceil(room / len(senders))
    rows = _lock(due, priority, senders, share, [row[0] for row in have])[:room]
    got = Counter(row[5] for row in rows)
    return rows, [key for key in senders if got[key] == share]


def _lock(
    due: Due, priority: int, senders: Sequence[int], share: int, but: Sequence[int]
) -> list[Row]:
    if connections[due.using].vendor == "postgresql":
        params = [list(senders), due.destination_id, priority, due.now, list(but), share]
        return [row[: len(FIELDS)] for row in fetch(due.using, _LOCK, params)]
    rows: list[Row] = []
    for sender_key in senders:  # SQLite has no LATERAL; and one writer, so nothing to lock
        found = Recipient.objects.using(due.using).filter(
            destination_id=due.destination_id,
            priority=priority,
            sender_key=sender_key,
            next_attempt_at__lte=due.now,
            state__in=DUE,
        )
        ordered = found.exclude(pk__in=but).order_by("next_attempt_at", "id")
        rows += ordered.values_list(*FIELDS)[:share]
    return rows
