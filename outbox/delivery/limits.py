"""The limits of a destination, on which all workers agree before they open a connection.

Slots enforce the connection limit, and counters enforce the rate limits; `circuit` says whether
the server may be connected to. The database decides about them in the transaction of a claim.
"""

import datetime as dt
import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from outbox.db.bulk import Among, delete_rows, fetch, update_rows
from outbox.db.clock import database_now
from outbox.db.columns import columns_of
from outbox.delivery import due
from outbox.delivery.circuit import Probe, begin_probe
from outbox.delivery.paused_tags import paused_messages
from outbox.models import MX_PREFIX, Circuit, Destination, Slot
from outbox.models.destination_limits import limits_of
from outbox.models.pause import pause_of, pauses_in_force
from outbox.net.shaping import Effect, ReplyRule
from outbox.net.sites import Source
from outbox.reasons import NO_REASON, Reason, ReasonCode

_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which due destinations an engine can use: all, but only some MX sites without a runner."""

    running: Collection[int] = ()
    sites_max: float = math.inf
    # The worker's place among all workers, and their number: it begins with its own destinations.
    rank: int = 0
    workers: int = 1

    def order(self, destination_id: int) -> tuple[bool, bool]:
        """Return the order of a destination among those that are due."""
        # Those with a runner first: it may have finished its jobs.
        return destination_id not in self.running, destination_id % self.workers != self.rank


class HeldSlot(NamedTuple):
    """A connection slot that a worker has reserved."""

    id: int
    destination_id: int
    worker_id: int
    number: int


# What changes while a runner exists. Django's own query takes several times as long to compile.
_OF_DESTINATION = (
    "circuit",
    "circuit_until",
    "minute_count",
    "minute_started_at",
    "day_count",
    "day_started_at",
    "limit_effect",
    "limit_until",
)
_OF_ACCOUNT = ("route", "max_connections", "per_minute", "per_day")
_LOCK = f"""
SELECT {", ".join(f"d.{name}" for name in _OF_DESTINATION)},
    {", ".join(f"a.{name}" for name in _OF_ACCOUNT)}
FROM outbox_destination d JOIN outbox_account a ON a.id = d.account_id
WHERE d.id = %s FOR NO KEY UPDATE OF d"""  # noqa: S608  # constants only
_COUNTED = columns_of(
    Destination,
    (
        "minute_started_at",
        "minute_count",
        "day_started_at",
        "day_count",
        "paused_until",
        "paused_reason",
    ),
)
# SQLite assigns the id of a slot again whose transaction was rolled back.
_OF_SLOT = columns_of(Slot, ("id", "destination_id", "worker_id"))
_ALL = Wanted()
_READ_AT_ONCE = 500  # destinations
_SERVERS_AT_ONCE = 10_000  # destinations of which only servers of accounts are read


@dataclass(slots=True)
class Allowance:
    """What a destination allows a claim, whose transaction has locked it."""

    recipients: int  # at most, a single one if the claim is a probe
    destination: Destination | None = None  # as it is now

    def use(self, recipients: int, worker_id: int, using: str) -> Probe | None:
        """Count the recipients that were claimed. Return the probe, if the claim is one."""
        destination = self.destination
        if destination is None or (not recipients and destination.paused_until is None):
            return None
        destination.minute_count += recipients
        destination.day_count += recipients
        counts = [getattr(destination, column.name) for column in _COUNTED[:-1]]
        row = (destination.pk, *counts, destination.paused_reason.dump())
        update_rows(using, "outbox_destination", _COUNTED, [row])
        if not recipients or destination.circuit == Circuit.CLOSED:
            return None
        probe = begin_probe(destination, worker_id, database_now(using))
        destination.save(using=using, update_fields=["circuit", "circuit_until", "probe_worker"])
        return probe


def allowance(destination: Destination, wanted: int, using: str) -> Allowance:
    """Return what may be claimed, up to `wanted` recipients.

    The destination is locked until the transaction of the caller ends.
    """
    current = _locked(destination, using)
    now = database_now(using)
    # Its account or its state may have changed since the caller read them.
    if current is None or not current.fits_account or current.is_suspended(now):
        return Allowance(0)
    if current.circuit != Circuit.CLOSED:
        if current.circuit_until is not None and current.circuit_until > now:
            return Allowance(0)
        wanted = min(wanted, 1)
    return Allowance(_within_limits(current, wanted, now), current)


def _locked(destination: Destination, using: str) -> Destination | None:
    """Lock a destination and return it as it is now; None if it was deleted."""
    if connections[using].vendor != "postgresql":
        destinations = Destination.objects.using(using).select_related("account")
        return destinations.filter(pk=destination.pk).first()
    rows = fetch(using, _LOCK, [destination.pk])
    if not rows:
        return None
    current, current.account = copy(destination), copy(destination.account)
    values: Iterator[Any] = iter(rows[0])
    for name, value in zip(_OF_DESTINATION, values, strict=False):
        setattr(current, name, value)
    for name, value in zip(_OF_ACCOUNT, values, strict=True):
        setattr(current.account, name, value)
    if current.limit_until is not None:
        current.refresh_from_db(using=using, fields=["limit_reason"])
    return current


def due_destinations(using: str, wanted: Wanted = _ALL) -> list[Destination]:
    """Return the destinations with due recipients that no circuit, limit or pause blocks.

    Of those that are this worker's own, the first to be due come first. There may be tens of
    thousands of MX sites, of which few are read. A server of an account does not wait for them.
    """
    earliest = due.waiting(using)
    if not earliest:
        return []
    now = database_now(using)
    waiting = ((moment, pk) for pk, moment in earliest.items() if moment <= now)
    ids = [pk for _, pk in sorted(waiting)]
    pauses = pauses_in_force(using) if ids else []
    found: list[Destination] = []
    sites = 0
    ids.sort(key=wanted.order)
    while ids:
        has_all = sites >= wanted.sites_max  # of the MX sites that can be used
        at_once = _SERVERS_AT_ONCE if has_all else _READ_AT_ONCE
        some, ids = ids[:at_once], ids[at_once:]
        usable = Destination.objects.using(using).filter(Among("pk", some))
        usable = usable.exclude(Destination.surely_blocked_at(now)).select_related("account")
        if has_all:
            usable = usable.exclude(key__startswith=MX_PREFIX)
        rows = {row.pk: row for row in usable}
        for row in (rows[pk] for pk in some if pk in rows):
            if row.is_blocked(now) or pause_of(row, pauses) is not None:
                continue
            if row.site_key and row.pk not in wanted.running:
                if sites >= wanted.sites_max:
                    continue
                sites += 1
            found.append(row)
    return found


def paused_among(
    destinations: Iterable[Destination], message_ids: Collection[int], using: str
) -> tuple[set[int], set[int]]:
    """Return which of the destinations, and which of the messages, a pause stops."""
    pauses = pauses_in_force(using)
    stopped = {one.pk for one in destinations if pause_of(one, pauses) is not None}
    return stopped, set(paused_messages(message_ids, pauses, using))


def has_limits(destination: Destination, now: dt.datetime) -> bool:
    """Return whether a claim needs a reservation."""
    if not destination.fits_account:
        return False
    limits = limits_of(destination, now)
    return bool(limits.per_minute or limits.per_day or destination.circuit != Circuit.CLOSED)


def quota_left(destination: Destination, now: dt.datetime) -> tuple[int | None, int | None]:
    """Return how many recipients the limits per minute and per day still allow; None: no limit."""
    limits = limits_of(destination, now)
    windows = (
        (limits.per_minute, destination.minute_count, destination.minute_started_at, _MINUTE),
        (limits.per_day, destination.day_count, destination.day_started_at, _DAY),
    )
    per_minute, per_day = (
        None
        if limit is None
        else max(limit.value - (count if start and now < start + length else 0), 0)
        for limit, count, start, length in windows
    )
    return per_minute, per_day


def _within_limits(destination: Destination, wanted: int, now: dt.datetime) -> int:
    limits = limits_of(destination, now)
    if destination.minute_started_at is None or now >= destination.minute_started_at + _MINUTE:
        destination.minute_started_at, destination.minute_count = now, 0
    if destination.day_started_at is None or now >= destination.day_started_at + _DAY:
        destination.day_started_at, destination.day_count = now, 0
    granted, until, reason = wanted, None, NO_REASON
    if limits.per_minute is not None:
        per_minute: int = limits.per_minute.value
        granted = min(granted, per_minute - destination.minute_count)
        if granted <= 0:
            until = destination.minute_started_at + _MINUTE
            reason = Reason(ReasonCode.LIMIT_PER_MINUTE, limit=per_minute)
            if limits.per_minute.source is Source.REPLY:
                reason = destination.limit_reason
    if limits.per_day is not None:
        per_day: int = limits.per_day.value
        granted = min(granted, per_day - destination.day_count)
        if granted <= 0 and per_day <= destination.day_count:
            until = destination.day_started_at + _DAY
            reason = Reason(ReasonCode.LIMIT_PER_DAY, limit=per_day)
    destination.paused_until, destination.paused_reason = until, reason
    return max(granted, 0)


def refund(destination_id: int, unused: int, using: str) -> None:
    """Refund recipients that were reserved and led to no attempt."""
    destination = Destination.objects.using(using).filter(pk=destination_id)
    destination.update(  # a new minute may have begun since, with a smaller count
        minute_count=Greatest(F("minute_count") - unused, 0),
        day_count=Greatest(F("day_count") - unused, 0),
    )


def free_slots(destination_id: int, limit: int, using: str) -> list[int]:
    """Return the numbers among 1 … `limit` of the slots that no worker has."""
    sql = "SELECT number FROM outbox_slot WHERE destination_id = %s"
    taken = {number for (number,) in fetch(using, sql, [destination_id])}
    return [number for number in range(1, limit + 1) if number not in taken]


def insert_slots(
    destination_id: int, worker_id: int, free: Sequence[int], using: str
) -> list[HeldSlot]:
    """Reserve slots that were free, and return those that still were."""
    if not free:
        return []
    rows = ", ".join(["(%s, %s, %s)"] * len(free))
    sql = (
        f"INSERT INTO outbox_slot (destination_id, number, worker_id) VALUES {rows} "  # noqa: S608
        "ON CONFLICT (destination_id, number) DO NOTHING "
        "RETURNING id, destination_id, worker_id, number"
    )
    params = [value for number in free for value in (destination_id, number, worker_id)]
    return [HeldSlot._make(row) for row in fetch(using, sql, params)]


def release_slots(slots: Sequence[HeldSlot], using: str) -> None:
    """Release connection slots of any destinations.

    A repetition does not release one with the same number that was reserved in the meantime.
    """
    delete_rows(using, "outbox_slot", _OF_SLOT, [slot[: len(_OF_SLOT)] for slot in slots])


def connections_of(destination: Destination, now: dt.datetime) -> int:
    """Return the number of connections that are allowed to a destination."""
    return int(limits_of(destination, now).connections.value)


def fair_share(limit: int, workers: int) -> int:
    """Return how many connections one of `workers` may have, so that each gets some."""
    return max(1, math.ceil(limit / max(workers, 1)))


def report_rule(destination_id: int, rule: ReplyRule, reply: str, using: str) -> bool:
    """Count a reply that a rule is about, and limit the destination if there were enough.

    Return whether it is limited from now on. A rule that suspends replaces one that slows down.
    """
    with transaction.atomic(using=using):
        now = database_now(using)
        destinations = Destination.objects.using(using).select_for_update(no_key=True)
        destination = destinations.filter(pk=destination_id).first()
        if destination is None:
            return False
        hits = _recent_hits(destination.rule_hits, now)
        times = [*hits.get(rule.pattern, []), now.timestamp()][-rule.after :]
        is_enough = len(times) >= rule.after
        hits = {**hits, rule.pattern: times}
        if is_enough:
            del hits[rule.pattern]
            until = now + dt.timedelta(seconds=rule.seconds)
            suspends = rule.effect is Effect.SUSPEND
            if suspends or not destination.is_suspended(now):
                slowed, stopped = Reason(ReasonCode.SITE_SLOWED), Reason(ReasonCode.SITE_SUSPENDED)
                destination.limit_effect = rule.effect.value
                destination.limit_until = until
                destination.limit_reason = (stopped if suspends else slowed).with_reply(reply)
        destination.rule_hits = json.dumps(hits) if hits else ""
        destination.save(
            using=using,
            update_fields=["rule_hits", "limit_effect", "limit_until", "limit_reason"],
        )
    return is_enough


def _recent_hits(stored: str, now: dt.datetime) -> dict[str, list[float]]:
    """Return the times of replies within the last hour, by the rule's pattern."""
    since = (now - _HOUR).timestamp()
    hits: dict[str, list[float]] = json.loads(stored or "{}")
    recent = {name: [one for one in times if one > since] for name, times in hits.items()}
    return {name: times for name, times in recent.items() if times}
