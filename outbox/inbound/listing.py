"""What of a server's listing is known, and what has to be fetched: the newest message first.

A listing may have 100,000 messages. They are looked up a thousand at a time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from outbox.db.clock import database_now
from outbox.inbound.mail_server import Listed
from outbox.models import Mailbox, ServerMessage
from outbox.models.mailbox import MAX_UID
from outbox.reasons import NO_REASON, Reason, ReasonCode

_AT_ONCE = 1_000  # messages in one query
# Deletions that had no effect, after which the server does not delete a message, as Gmail if its
# settings say so. A single one is a mailbox that was restored from a backup.
STAYS_AFTER = 2
_HASH = re.compile("[0-9a-f]{64}")
PLACE_FOR = dt.timedelta(days=1)  # how long a message without an id is known by its place
BREAKS_MAX = 3  # sessions that a message may end before it is skipped


class Wanted(NamedTuple):
    """A message to fetch."""

    place: int  # in the listing
    uid: str  # "" if the server has none: then the hash of the message is its key
    size: int | None  # as the server says
    row: int | None = None  # a row about it: it was too large, or was deleted from the server
    breaks: int = 0  # sessions that ended while it was downloaded

    @property
    def key(self) -> str:
        """The unique id, or what names the message until it is downloaded: its number and size.

        No id contains a space. After a deletion, another message may have the same place. So no
        stored message is known by it, and `plan` forgets it after a day.
        """
        return self.uid or f"{self.place + 1} {self.size}"


class Present(NamedTuple):
    """A message that is still on the server after it was stored."""

    place: int
    row: int
    seen_at: dt.datetime


@dataclass(slots=True)
class Plan:
    """What to do with the messages of a listing."""

    wanted: list[Wanted] = field(default_factory=list)  # the newest message first
    # Those that may have broken a session: after all others, so that they do not block them.
    suspected: list[Wanted] = field(default_factory=list)
    present: list[Present] = field(default_factory=list)


def plan(mailbox: Mailbox, listed: Sequence[Listed], using: str, limit: int) -> Plan:
    """Compare a listing with what is known. Messages above `limit` bytes are not fetched again."""
    found = Plan()
    counts = Counter(one.uid for one in listed)
    places = _rows_of_places(mailbox, listed, using)
    for chunk in _newest_first(listed):
        # A duplicate id (RFC 1939 7 forbids it) names no message. Neither does one too long.
        uids = {
            index: one.uid if counts[one.uid] == 1 and len(one.uid) <= MAX_UID else ""
            for index, one in chunk
        }
        rows = rows_of(mailbox, [uid for uid in uids.values() if uid], using)
        for index, one in chunk:
            uid = uids[index]
            row = rows.get(uid) if uid else places.get(Wanted(index, "", one.size).key)
            if row is None:
                found.wanted.append(Wanted(index, uid, one.size))
            elif row.deleted_at is not None or _is_small_enough(row, limit):
                found.wanted.append(Wanted(index, uid, one.size, row.pk))
            elif 0 < (breaks := _breaks_of(row)) < BREAKS_MAX:
                found.suspected.append(Wanted(index, uid, one.size, row.pk, breaks))
            elif may_be_deleted(row):
                found.present.append(Present(index, row.pk, row.seen_at))
    found.suspected.sort(key=lambda one: one.breaks)
    return found


def _rows_of_places(
    mailbox: Mailbox, listed: Sequence[Listed], using: str
) -> dict[str, ServerMessage]:
    """Return what is known of messages by their numbers and sizes, and forget the outdated rows."""
    rows = ServerMessage.objects.using(using).filter(mailbox=mailbox.pk).exclude(skipped="")
    found = {row.uid: row for row in rows.filter(uid__contains=" ")}
    if found:
        there = {Wanted(index, "", one.size).key for index, one in enumerate(listed)}
        oldest = database_now(using) - PLACE_FOR
        gone = {key for key, row in found.items() if key not in there or row.seen_at < oldest}
        rows.filter(pk__in=[found.pop(key).pk for key in gone])._raw_delete(using)
    return found


def rows_of(mailbox: Mailbox, uids: Sequence[str], using: str) -> dict[str, ServerMessage]:
    """Return what is known of the messages with these ids."""
    if not uids:
        return {}
    rows = ServerMessage.objects.using(using).filter(mailbox=mailbox.pk, uid__in=uids)
    return {row.uid: row for row in rows}


def may_be_deleted(row: ServerMessage) -> bool:
    """Return whether a message is stored, and whether its server deletes it."""
    return not row.skipped and row.returned < STAYS_AFTER


def too_large(size: int, limit: int) -> Reason:
    """Return why a message was not fetched."""
    return Reason(ReasonCode.FETCH_TOO_LARGE, size=size, limit=limit)


def broke(breaks: int) -> Reason:
    """Return why a message was not fetched after it ended so many sessions."""
    return Reason(ReasonCode.FETCH_BROKE, attempts=breaks)


def is_hash(uid: str) -> bool:
    """Return whether the id is the hash of a message that has none on its server."""
    return _HASH.fullmatch(uid) is not None


def has_server_ids(mailbox: Mailbox, using: str) -> bool:
    """Return whether a message is known by an id of the server, not by its hash or its place."""
    rows = ServerMessage.objects.using(using).filter(mailbox=mailbox.pk, deleted_at=None)
    return rows.exclude(uid__regex=r"^([0-9a-f]{64}|[0-9]+ .*)$").exists()


def rows_gone(mailbox: Mailbox, listed: Sequence[Listed], using: str) -> list[int]:
    """Return the rows of messages that are no longer on the server.

    Another program has deleted them, or this one, which did not learn that QUIT succeeded. Those
    known by their place are not among them: `plan` forgets them.
    """
    rows = ServerMessage.objects.using(using).filter(mailbox=mailbox.pk, deleted_at=None)
    rows = rows.exclude(uid__contains=" ")
    if rows.count() <= len(listed):
        return []
    there = {one.uid for one in listed}
    if "" in there:
        return []  # the server has no ids
    ids = rows.order_by("uid").values_list("pk", "uid")
    return [pk for pk, uid in ids.iterator(_AT_ONCE) if uid not in there]


def mark_deleted(rows: Sequence[int], using: str) -> int:
    """Record that messages are no longer on the server."""
    now = database_now(using)
    count = 0
    for start in range(0, len(rows), _AT_ONCE):
        chunk = ServerMessage.objects.using(using).filter(pk__in=rows[start : start + _AT_ONCE])
        count += chunk.update(deleted_at=now)
    return count


def _newest_first(listed: Sequence[Listed]) -> Iterator[list[tuple[int, Listed]]]:
    for end in range(len(listed), 0, -_AT_ONCE):
        start = max(end - _AT_ONCE, 0)
        yield [(index, listed[index]) for index in range(end - 1, start - 1, -1)]


def _breaks_of(row: ServerMessage) -> int:
    found = row.skipped.args.get("attempts") if row.skipped.code == ReasonCode.FETCH_BROKE else 0
    return found if isinstance(found, int) else 0


def _is_small_enough(row: ServerMessage, limit: int) -> bool:
    """Return whether a message was skipped because of a lower limit."""
    was_too_large = row.skipped.code == ReasonCode.FETCH_TOO_LARGE
    return row.skipped != NO_REASON and was_too_large and row.size <= limit
