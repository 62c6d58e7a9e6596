"""The route: what all workers must agree on before a connection is opened.

Slots keep the connection limit, the circuit keeps a dead server from being hammered, the counters
keep the rate limits. Each is decided by the database in a short transaction.
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from outbox.conf import get_conf
from outbox.delivery.verdict import RouteEffect
from outbox.models import Circuit, Destination, Slot
from outbox.models.clock import database_now

_PROBE_LEASE = dt.timedelta(minutes=7)  # longer than connect + greeting + login may take
_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Leave:
    """How many recipients may be tried now; a probe may use one connection for one message."""

    recipients: int
    is_probe: bool = False


def ask_leave(destination_id: int, wanted: int, using: str) -> Leave:
    """Ask the circuit and the rate limits; what is granted is counted as tried."""
    with transaction.atomic(using=using):
        now = database_now(using)
        destination = (
            Destination.objects.using(using)
            .select_for_update(no_key=True, of=("self",))
            .select_related("account")
            .get(pk=destination_id)
        )
        probe = destination.circuit != Circuit.CLOSED
        if probe:
            if destination.circuit_until is not None and destination.circuit_until > now:
                return Leave(0)
            wanted = min(wanted, 1)
        granted = _within_limits(destination, wanted, now)
        if granted and probe:
            destination.circuit = Circuit.HALF_OPEN
            destination.circuit_until = now + _PROBE_LEASE
        destination.save(using=using)
        return Leave(granted, is_probe=probe)


def is_shut(destination: Destination, now: dt.datetime) -> bool:
    """Tell whether the circuit or a limit lets nothing through at the moment."""
    waits = destination.circuit_until is not None and destination.circuit_until > now
    return waits or is_paused(destination, now)


def is_paused(destination: Destination, now: dt.datetime) -> bool:
    """Tell whether a rate limit is used up; one that was raised meanwhile holds nobody."""
    if destination.paused_until is None or destination.paused_until <= now:
        return False
    account = destination.account
    counts = (
        (account.per_minute, destination.minute_count),
        (account.per_day, destination.day_count),
    )
    return any(limit is not None and count >= limit for limit, count in counts)


def has_limits(destination: Destination) -> bool:
    """Tell whether leave has to be asked of the database before a claim."""
    account = destination.account
    return bool(account.per_minute or account.per_day or destination.circuit != Circuit.CLOSED)


def _within_limits(destination: Destination, wanted: int, now: dt.datetime) -> int:
    account = destination.account
    if destination.minute_started_at is None or now >= destination.minute_started_at + _MINUTE:
        destination.minute_started_at, destination.minute_count = now, 0
    if destination.day_started_at is None or now >= destination.day_started_at + _DAY:
        destination.day_started_at, destination.day_count = now, 0
    granted, until, reason = wanted, None, ""
    if account.per_minute is not None:
        granted = min(granted, account.per_minute - destination.minute_count)
        if granted <= 0:
            until = destination.minute_started_at + _MINUTE
            reason = f"the limit of {account.per_minute} recipients a minute is reached"
    if account.per_day is not None:
        granted = min(granted, account.per_day - destination.day_count)
        if granted <= 0 and account.per_day <= destination.day_count:
            until = destination.day_started_at + _DAY
            reason = f"the limit of {account.per_day} recipients a day is reached"
    granted = max(granted, 0)
    destination.paused_until, destination.paused_reason = until, reason
    destination.minute_count += granted
    destination.day_count += granted
    return granted


def give_back_leave(destination_id: int, leave: Leave, unused: int, using: str) -> None:
    """Return leave that found no due mail; a probe that found none leaves the circuit open."""
    destination = Destination.objects.using(using).filter(pk=destination_id)
    destination.update(  # a new minute may have begun meanwhile, with less on its count
        minute_count=Greatest(F("minute_count") - unused, 0),
        day_count=Greatest(F("day_count") - unused, 0),
    )
    if leave.is_probe:
        destination.filter(circuit=Circuit.HALF_OPEN).update(
            circuit=Circuit.OPEN, circuit_until=database_now(using)
        )


def take_slots(
    destination_id: int, worker_id: int, *, wanted: int, limit: int, using: str
) -> list[int]:
    """Take up to `wanted` connection slots among 1 … `limit`; return their numbers."""
    taken = set(
        Slot.objects.using(using)
        .filter(destination_id=destination_id)
        .values_list("number", flat=True)
    )
    free = [number for number in range(1, limit + 1) if number not in taken][:wanted]
    if not free:
        return []
    rows = ", ".join(["(%s, %s, %s)"] * len(free))
    sql = (
        f"INSERT INTO outbox_slot (destination_id, number, worker_id) VALUES {rows} "  # noqa: S608
        "ON CONFLICT (destination_id, number) DO NOTHING RETURNING number"
    )
    params = [value for number in free for value in (destination_id, number, worker_id)]
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]


def free_slots(destination_id: int, worker_id: int, numbers: Sequence[int], using: str) -> None:
    """Give connection slots back."""
    Slot.objects.using(using).filter(
        destination_id=destination_id, worker_id=worker_id, number__in=numbers
    ).delete()


def fair_share(limit: int, workers: int) -> int:
    """Connections one of `workers` may hold: none takes all while others live."""
    return max(1, math.ceil(limit / max(workers, 1)))


def report_success(destination_id: int, using: str) -> None:
    """Close the circuit: a connection stands."""
    Destination.objects.using(using).filter(
        Q(pk=destination_id) & (~Q(circuit=Circuit.CLOSED) | Q(circuit_faults__gt=0))
    ).update(
        circuit=Circuit.CLOSED,
        circuit_faults=0,
        circuit_trips=0,
        circuit_until=None,
        circuit_opened_at=None,
        circuit_reason="",
        circuit_needs_person=False,
    )


@dataclass(frozen=True, slots=True)
class RouteTrouble:
    """What a fault did to the route: when it is tried again, and whether it opened just now."""

    retry_at: dt.datetime
    opened: bool
    needs_person: bool


def pause_for(trips: int, chance: float) -> float:
    """Seconds an open circuit rests after so many openings in a row; jitter only adds to it."""
    conf = get_conf()
    steps = min(max(trips, 1) - 1, 32)  # a power beyond this overflows, long after the cap
    plain: float = min(conf.circuit_first * 2**steps, conf.circuit_max)
    return plain * (1 + conf.backoff_jitter * chance)


def report_fault(
    destination_id: int, effect: RouteEffect, reason: str, chance: float, using: str
) -> RouteTrouble:
    """Count a connection fault; open the circuit when it is one too many."""
    conf = get_conf()
    with transaction.atomic(using=using):
        now = database_now(using)
        route = (
            Destination.objects.using(using)
            .select_for_update(no_key=True)
            .filter(pk=destination_id)
            .first()
        )
        if route is None:  # its account was deleted; the sweep holds the mail
            return RouteTrouble(retry_at=now, opened=False, needs_person=False)
        was_open = route.circuit == Circuit.OPEN and (route.circuit_until or now) > now
        route.circuit_faults += 1
        route.circuit_reason = reason
        opens = (
            effect != RouteEffect.FAULT
            or route.circuit == Circuit.HALF_OPEN
            or route.circuit_faults >= conf.circuit_opens_after
        )
        if opens and not was_open:
            route.circuit_trips += 1
        retry_at = now + dt.timedelta(seconds=pause_for(route.circuit_trips, chance))
        if was_open:
            retry_at = route.circuit_until or retry_at
        elif opens:
            route.circuit = Circuit.OPEN
            route.circuit_until = retry_at
            route.circuit_opened_at = route.circuit_opened_at or now
        route.circuit_needs_person = effect == RouteEffect.OPEN_FOR_PERSON
        route.save(using=using)
    return RouteTrouble(
        retry_at=retry_at, opened=opens and not was_open, needs_person=route.circuit_needs_person
    )
