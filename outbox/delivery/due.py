"""Due: where recipients are due, and which of them a claim takes next.

The most urgent recipients come first, but they do not take a whole claim while less urgent ones are
due. Within one priority the senders alternate: the sender after the one that was served last comes
first. Capacity that one sender has no use for goes to those that were limited to their share.

Destinations and senders are found by skip scans along an index, from one to the next, so that ten
thousand messages of one sender cost no more to pass than one. Claimed recipients stay in the index
until their outcome is written, in front of those that wait, and a claim passes over them row by row
(docs/decisions/0008). A priority or a sender of which all are claimed has no share. Senders whose
recipients are being held (`PendingHold`) are left out, and everything that a `Pause` stops, unless
it is a pause of a tag (`outbox.delivery.paused_tags`).
"""

import datetime as dt
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connections

from outbox.db.bulk import fetch
from outbox.db.clock import database_now
from outbox.models import Recipient
from outbox.models.transitions import CLAIM, sql_list


class DueRecipient(NamedTuple):
    """The columns that a claim reads of a recipient that is due."""

    id: int
    message_id: int
    address: str
    attempts: int
    expires_at: dt.datetime | None
    sender_key: int
    attempts_at_retry: int
    next_attempt_at: dt.datetime


_SENDERS_MAX = 50  # senders that one claim serves; the others follow with the next
_URGENT_SHARE = 0.75  # of a claim, while less urgent recipients are due too
# The indexes contain what waits and what is being sent. Only the rows distinguish these.
_LISTED = "r.next_attempt_at IS NOT NULL"
_WAITING = f"{_LISTED} AND r.state IN ({sql_list(CLAIM.sources)})"

_DESTINATIONS = f"""
WITH RECURSIVE walk(destination_id) AS (
    SELECT MIN(r.destination_id) FROM outbox_recipient r WHERE {_LISTED}
    UNION ALL
    SELECT (SELECT MIN(r.destination_id) FROM outbox_recipient r
            WHERE {_LISTED} AND r.destination_id > walk.destination_id)
    FROM walk WHERE walk.destination_id IS NOT NULL
)
SELECT walk.destination_id,
    (SELECT MIN(r.next_attempt_at) FROM outbox_recipient r
     WHERE {_WAITING} AND r.destination_id = walk.destination_id)
FROM walk WHERE walk.destination_id IS NOT NULL"""  # noqa: S608  # constants only

_PRIORITIES = f"""
WITH RECURSIVE level(priority) AS (
    SELECT MIN(r.priority) FROM outbox_recipient r WHERE r.destination_id = %s AND {_LISTED}
    UNION ALL
    SELECT (SELECT MIN(r.priority) FROM outbox_recipient r
            WHERE r.destination_id = %s AND {_LISTED} AND r.priority > level.priority)
    FROM level WHERE level.priority IS NOT NULL
)
SELECT priority, EXISTS (
    SELECT 1 FROM outbox_pause p
    WHERE p.ended_at IS NULL AND p.scope = 'tag' AND (p.until IS NULL OR p.until > %s))
FROM level WHERE priority IS NOT NULL"""  # noqa: S608  # constants only

_SENDERS = f"""
WITH RECURSIVE walk(sender_key) AS (
    SELECT MIN(r.sender_key) FROM outbox_recipient r
    WHERE r.destination_id = %s AND {_LISTED} AND r.priority = %s AND r.sender_key > %s
    UNION ALL
    SELECT (SELECT MIN(r.sender_key) FROM outbox_recipient r
            WHERE r.destination_id = %s AND {_LISTED} AND r.priority = %s
                AND r.sender_key > walk.sender_key)
    FROM walk WHERE walk.sender_key IS NOT NULL
)
SELECT sender_key FROM walk WHERE sender_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM outbox_recipient r
    WHERE r.destination_id = %s AND {_WAITING} AND r.priority = %s
        AND r.sender_key = walk.sender_key AND r.next_attempt_at <= %s)
AND NOT EXISTS (
    SELECT 1 FROM outbox_pendinghold h JOIN outbox_destination d ON d.account_id = h.account_id
    WHERE d.id = %s AND (h.sender_key IS NULL OR h.sender_key = walk.sender_key))
AND NOT EXISTS (
    SELECT 1 FROM outbox_pause p JOIN outbox_destination d ON d.id = %s
    WHERE p.ended_at IS NULL AND (p.until IS NULL OR p.until > %s) AND (
        p.scope = 'everything' OR p.account_id = d.account_id OR p.destination_id = d.id))
LIMIT {_SENDERS_MAX}"""  # noqa: S608  # constants only

_LOCK = f"""
SELECT due.* FROM unnest(%s::bigint[]) WITH ORDINALITY AS sender(key, number)
CROSS JOIN LATERAL (
    SELECT {", ".join(f"r.{name}" for name in DueRecipient._fields)} FROM outbox_recipient r
    WHERE r.destination_id = %s AND {_WAITING} AND r.priority = %s AND r.sender_key = sender.key
        AND r.next_attempt_at <= %s AND r.id <> ALL(%s::bigint[])
    ORDER BY r.next_attempt_at, r.id LIMIT %s FOR UPDATE SKIP LOCKED
) AS due ORDER BY sender.number"""  # noqa: S608  # constants only


def waiting(using: str) -> dict[int, dt.datetime]:
    """Return the destinations with waiting recipients, and when the first one of each is due."""
    moments = {pk: aware(value) for pk, value in fetch(using, _DESTINATIONS, [])}
    return {pk: moment for pk, moment in moments.items() if moment is not None}


def is_any_due(using: str) -> bool:
    """Return whether any recipient is due."""
    earliest = waiting(using)
    return bool(earliest) and min(earliest.values()) <= database_now(using)


def aware(value: Any) -> dt.datetime | None:
    """Return a time from a raw cursor as an aware datetime; SQLite returns text."""
    if value is None:
        return None
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _urgent_room(left: int) -> int:
    """Return how many of `left` recipients may be of one priority while there are lower ones.

    A single one is left to them at random. Otherwise the urgent messages of senders that the server
    rejects would be each probe of it.
    """
    if left == 1:
        return int(random.random() < _URGENT_SHARE)  # noqa: S311
    return min(math.ceil(left * _URGENT_SHARE), max(left - 1, 0))


@dataclass(slots=True)
class DueAt:
    """The recipients of one destination that are due at `now`."""

    destination_id: int
    now: dt.datetime
    using: str
    # After `lock`: whether the messages of some tag are paused, some of those locked perhaps.
    is_tag_paused: bool = field(default=False, init=False)
    # After `lock`: whether others may be due whose senders it did not serve.
    has_others: bool = field(default=False, init=False)

    def lock(self, limit: int, after_sender: int) -> list[DueRecipient]:
        """Lock up to `limit` recipients inside the caller's transaction, and return them.

        The sender that follows `after_sender` comes first.
        """
        found = fetch(self.using, _PRIORITIES, [*[self.destination_id] * 2, self._moment])
        priorities = [priority for priority, _ in found]
        self.is_tag_paused = any(is_paused for _, is_paused in found)
        rows: list[DueRecipient] = []
        limited: list[tuple[int, list[int]]] = []
        has_all = True  # senders
        for number, priority in enumerate(priorities, start=1):
            left = limit - len(rows)
            room = left if number == len(priorities) else _urgent_room(left)
            senders = self._senders(priority, after_sender)
            has_all &= len(senders) < _SENDERS_MAX
            locked, at_their_share = self._lock_shares(priority, senders, room, [])
            rows += locked
            limited.append((priority, at_their_share))
        for priority, senders in limited:
            if senders and len(rows) < limit:
                rows += self._lock_shares(priority, senders, limit - len(rows), rows)[0]
        self.has_others = not has_all and len(rows) < limit
        return rows

    @property
    def _moment(self) -> Any:
        """The time as a parameter. SQLite compares texts."""
        if connections[self.using].vendor == "sqlite":
            return connections[self.using].ops.adapt_datetimefield_value(self.now)
        return self.now

    def _senders(self, priority: int, after_sender: int) -> list[int]:
        """Return the senders with due recipients, beginning after `after_sender`."""
        found = self._walk(priority, -1)
        later = [key for key in found if key > after_sender]
        if len(found) == _SENDERS_MAX:  # there may be others
            later = self._walk(priority, after_sender)
        first = [key for key in found if key <= after_sender]
        return (later + first)[:_SENDERS_MAX]

    def _walk(self, priority: int, after: int) -> list[int]:
        """Return the first senders with due recipients whose key is larger than `after`."""
        place = (self.destination_id, priority)
        moment = self._moment
        destination = self.destination_id
        params = [*place, after, *place, *place, moment, destination, destination, moment]
        return [key for (key,) in fetch(self.using, _SENDERS, params)]

    def _lock_shares(
        self, priority: int, senders: Sequence[int], room: int, have: Sequence[DueRecipient]
    ) -> tuple[list[DueRecipient], list[int]]:
        """Lock an equal share of the room for each sender.

        Also return the senders that may have more: they used their share up, or were cut off.
        """
        if not senders or room <= 0:
            return [], list(senders)
        share = math.ceil(room / len(senders))
        found = self._lock(priority, senders, share, [row.id for row in have])
        rows, cut_off = found[:room], {row.sender_key for row in found[room:]}
        counts = Counter(row.sender_key for row in rows)
        return rows, [key for key in senders if counts[key] == share or key in cut_off]

    def _lock(
        self, priority: int, senders: Sequence[int], share: int, excluded: Sequence[int]
    ) -> list[DueRecipient]:
        if connections[self.using].vendor == "postgresql":
            place = (self.destination_id, priority)
            params = [list(senders), *place, self.now, list(excluded), share]
            return [DueRecipient._make(row) for row in fetch(self.using, _LOCK, params)]
        rows: list[DueRecipient] = []
        for sender_key in senders:  # SQLite has no LATERAL, and one writer, so nothing to lock
            found = Recipient.objects.using(self.using).filter(
                destination_id=self.destination_id,
                priority=priority,
                sender_key=sender_key,
                next_attempt_at__lte=self.now,
                state__in=CLAIM.sources,
            )
            ordered = found.exclude(pk__in=excluded).order_by("next_attempt_at", "id")
            values = ordered.values_list(*DueRecipient._fields)[:share]
            rows += [DueRecipient._make(row) for row in values]
        return rows
