"""The limits of a destination, on which all workers agree before they open a connection.

Slots enforce the connection limit, the circuit protects a failing server from too many attempts,
and counters enforce the rate limits. The database decides each of them in a short transaction.
"""

import datetime as dt
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from outbox.backoff import Backoff
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery import due
from outbox.delivery.paused_tags import paused_messages
from outbox.models import Account, Circuit, Destination, Slot
from outbox.models.destination import DestinationEffect
from outbox.models.pause import pause_of, pauses_in_force
from outbox.reasons import NO_REASON, Reason, ReasonCode

_PROBE_LEASE = dt.timedelta(minutes=7)  # longer than connect + greeting + login may take
_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reservation:
    """How many recipients may be claimed now. A probe is a single one for an open circuit."""

    recipients: int
    is_probe: bool = False


def reserve(destination_id: int, worker_id: int, wanted: int, using: str) -> Reservation:
    """Reserve up to `wanted` recipients of the rate limits, as far as the circuit allows."""
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
                return Reservation(0)
            wanted = min(wanted, 1)
        granted = _within_limits(destination, wanted, now)
        if granted and probe:
            destination.circuit = Circuit.HALF_OPEN
            destination.circuit_until = now + _PROBE_LEASE
            destination.probe_worker_id = worker_id
        destination.save(using=using)
        return Reservation(granted, is_probe=probe)


def due_destinations(using: str) -> list[Destination]:
    """Return the destinations with due recipients that no circuit, limit or pause blocks."""
    earliest = due.waiting(using)
    if not earliest:
        return []
    now = database_now(using)
    ids = [pk for pk, moment in earliest.items() if moment <= now]
    found = Destination.objects.using(using).filter(pk__in=ids).select_related("account")
    open_ones = [destination for destination in found if not destination.is_blocked(now)]
    pauses = pauses_in_force(using) if open_ones else []
    return [destination for destination in open_ones if pause_of(destination, pauses) is None]


def paused_among(
    destinations: Iterable[Destination], message_ids: Collection[int], using: str
) -> tuple[set[int], set[int]]:
    """Return which of the destinations, and which of the messages, a pause stops."""
    pauses = pauses_in_force(using)
    stopped = {one.pk for one in destinations if pause_of(one, pauses) is not None}
    return stopped, set(paused_messages(message_ids, pauses, using))


def has_limits(destination: Destination) -> bool:
    """Return whether a claim needs a reservation."""
    account = destination.account
    return bool(account.per_minute or account.per_day or destination.circuit != Circuit.CLOSED)


def quota_left(destination: Destination, now: dt.datetime) -> tuple[int | None, int | None]:
    """Return how many recipients the limits per minute and per day still allow; None: no limit."""
    account = destination.account
    windows = (
        (account.per_minute, destination.minute_count, destination.minute_started_at, _MINUTE),
        (account.per_day, destination.day_count, destination.day_started_at, _DAY),
    )
    per_minute, per_day = (
        None if limit is None else max(limit - (count if start and now < start + length else 0), 0)
        for limit, count, start, length in windows
    )
    return per_minute, per_day


def _within_limits(destination: Destination, wanted: int, now: dt.datetime) -> int:
    account = destination.account
    if destination.minute_started_at is None or now >= destination.minute_started_at + _MINUTE:
        destination.minute_started_at, destination.minute_count = now, 0
    if destination.day_started_at is None or now >= destination.day_started_at + _DAY:
        destination.day_started_at, destination.day_count = now, 0
    granted, until, reason = wanted, None, NO_REASON
    if account.per_minute is not None:
        granted = min(granted, account.per_minute - destination.minute_count)
        if granted <= 0:
            until = destination.minute_started_at + _MINUTE
            reason = Reason(ReasonCode.LIMIT_PER_MINUTE, limit=account.per_minute)
    if account.per_day is not None:
        granted = min(granted, account.per_day - destination.day_count)
        if granted <= 0 and account.per_day <= destination.day_count:
            until = destination.day_started_at + _DAY
            reason = Reason(ReasonCode.LIMIT_PER_DAY, limit=account.per_day)
    granted = max(granted, 0)
    destination.paused_until, destination.paused_reason = until, reason
    destination.minute_count += granted
    destination.day_count += granted
    return granted


def refund(destination_id: int, reservation: Reservation, unused: int, using: str) -> None:
    """Refund what a claim did not use. A probe that found nothing due opens the circuit again."""
    destination = Destination.objects.using(using).filter(pk=destination_id)
    destination.update(  # a new minute may have begun since, with a smaller count
        minute_count=Greatest(F("minute_count") - unused, 0),
        day_count=Greatest(F("day_count") - unused, 0),
    )
    if reservation.is_probe:
        destination.filter(circuit=Circuit.HALF_OPEN).update(
            circuit=Circuit.OPEN, circuit_until=database_now(using)
        )


def take_slots(
    destination_id: int, worker_id: int, *, wanted: int, limit: int, using: str
) -> list[int]:
    """Reserve up to `wanted` connection slots among 1 … `limit`; return their numbers."""
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


def release_slots(destination_id: int, worker_id: int, numbers: Sequence[int], using: str) -> None:
    """Release connection slots."""
    Slot.objects.using(using).filter(
        destination_id=destination_id, worker_id=worker_id, number__in=numbers
    ).delete()


def connections_of(account: Account) -> int:
    """Return the number of connections that an account has, within the site's limit."""
    return min(account.max_connections, get_conf().max_connections_per_account)


def fair_share(limit: int, workers: int) -> int:
    """Return how many connections one of `workers` may have, so that each gets some."""
    return max(1, math.ceil(limit / max(workers, 1)))


def report_success(destination_id: int, using: str) -> None:
    """Close the circuit after a connection was opened."""
    Destination.objects.using(using).filter(
        Q(pk=destination_id) & (~Q(circuit=Circuit.CLOSED) | Q(circuit_faults__gt=0))
    ).update(
        circuit=Circuit.CLOSED,
        circuit_faults=0,
        circuit_trips=0,
        circuit_until=None,
        circuit_opened_at=None,
        circuit_reason=NO_REASON,
        circuit_needs_person=False,
    )


def return_probe(destination_id: int, pause: dt.timedelta, using: str) -> None:
    """Open the circuit again after a probe that did not reach the server."""
    Destination.objects.using(using).filter(pk=destination_id, circuit=Circuit.HALF_OPEN).update(
        circuit=Circuit.OPEN, circuit_until=database_now(using) + pause
    )


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """What a fault changed: when the destination is tried again, and whether the circuit opened."""

    retry_at: dt.datetime
    opened: bool
    needs_person: bool


def circuit_backoff() -> Backoff:
    """Return how long a circuit stays open after each opening in a row."""
    conf = get_conf()
    return Backoff(
        first=conf.circuit_pause_initial,
        factor=2,
        longest=conf.circuit_pause_max,
        jitter=conf.backoff_jitter,
        can_shorten=False,
        hint_max=min(conf.retry_after_max, conf.circuit_pause_max),
    )


def report_fault(
    destination_id: int, effect: DestinationEffect, reason: Reason, chance: float, using: str
) -> CircuitChange:
    """Count a connection fault and open the circuit when there were too many."""
    conf = get_conf()
    with transaction.atomic(using=using):
        now = database_now(using)
        destinations = Destination.objects.using(using).select_for_update(no_key=True)
        destination = destinations.filter(pk=destination_id).first()
        if destination is None:  # its account was deleted, and the sweep holds the messages
            return CircuitChange(retry_at=now, opened=False, needs_person=False)
        was_open = destination.circuit == Circuit.OPEN and (destination.circuit_until or now) > now
        destination.circuit_faults += 1
        destination.circuit_reason = reason
        opens = (
            effect != DestinationEffect.FAULT
            or destination.circuit == Circuit.HALF_OPEN
            or destination.circuit_faults >= conf.circuit_threshold
        )
        if opens and not was_open:
            destination.circuit_trips += 1
        trips, server_reply = destination.circuit_trips, str(reason.args.get("reply", ""))
        retry_at = circuit_backoff().next_attempt_at(now, trips, chance, server_reply)
        if was_open:
            retry_at = destination.circuit_until or retry_at
        elif opens:
            destination.circuit = Circuit.OPEN
            destination.circuit_until = retry_at
            destination.circuit_opened_at = destination.circuit_opened_at or now
        destination.circuit_needs_person = effect == DestinationEffect.OPEN_FOR_PERSON
        destination.save(using=using)
    return CircuitChange(
        retry_at=retry_at,
        opened=opens and not was_open,
        needs_person=destination.circuit_needs_person,
    )
