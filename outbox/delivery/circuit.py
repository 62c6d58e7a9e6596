"""The circuit of a destination: it protects a failing server from too many attempts.

Faults open it, and while it is open nothing is sent. Then one delivery tests the server: the probe.
The database decides which worker owns it, because a worker knows only what the destination was when
it was read last. Whatever leads to no result returns the probe, so that another delivery tests the
server.
"""

import datetime as dt
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from outbox.backoff import Backoff
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Circuit, Destination
from outbox.models.destination import DestinationEffect
from outbox.reasons import NO_REASON, Reason

NO_PAUSE = dt.timedelta(0)
_HOSTS_SECONDS = 300  # in which an attempt at an MX site begins with another host (`mx_opener`)


@dataclass(frozen=True, slots=True)
class Probe:
    """The right to test a destination whose circuit is half open, with one delivery."""

    destination_id: int
    worker_id: int
    until: dt.datetime  # when it expires; it identifies the probe


def begin_probe(destination: Destination, worker_id: int, now: dt.datetime) -> Probe:
    """Set the circuit half open for a worker; the caller has locked the row and saves it."""
    destination.circuit = Circuit.HALF_OPEN
    destination.circuit_until = now + _probe_lease(destination)
    destination.probe_worker_id = worker_id
    return Probe(destination.pk, worker_id, destination.circuit_until)


def _probe_lease(destination: Destination) -> dt.timedelta:
    """Return how long a probe may take: it succeeds with the end of its first transaction.

    After that, another probe begins beside it. A worker that ends returns its probe earlier.
    """
    conf = get_conf()
    opening = conf.connect_timeout + conf.greeting_timeout + conf.tls_timeout
    opening += 2 * (conf.command_timeout + conf.auth_timeout)  # EHLO again after STARTTLS
    sending = 2 * conf.command_timeout + conf.data_timeout + conf.block_timeout + conf.dot_timeout
    seconds = opening + conf.storage_timeout + sending
    return dt.timedelta(seconds=seconds + (_HOSTS_SECONDS if destination.is_direct else 0))


def return_probe(probe: Probe, using: str, pause: dt.timedelta = NO_PAUSE) -> bool:
    """Open the circuit again after a probe that found out nothing. Return whether it did.

    It did not if the probe expired and another one is under way, or if the circuit changed since.
    """
    held = Destination.objects.using(using).filter(
        pk=probe.destination_id,
        circuit=Circuit.HALF_OPEN,
        probe_worker=probe.worker_id,
        circuit_until=probe.until,
    )
    return bool(
        held.update(
            circuit=Circuit.OPEN, circuit_until=database_now(using) + pause, probe_worker=None
        )
    )


def return_lost_probes(now: dt.datetime, using: str) -> None:
    """Open each circuit whose probe was reserved by a worker that has ended, for the next probe.

    Otherwise the destination would be blocked until the probe expires.
    """
    Destination.objects.using(using).filter(
        circuit=Circuit.HALF_OPEN, probe_worker__ended_at__isnull=False
    ).update(circuit=Circuit.OPEN, circuit_until=now, probe_worker=None)


def report_success(destination_id: int, using: str) -> None:
    """Close the circuit after the server accepted a session and was not at fault."""
    Destination.objects.using(using).filter(
        Q(pk=destination_id) & (~Q(circuit=Circuit.CLOSED) | Q(circuit_faults__gt=0))
    ).update(
        circuit=Circuit.CLOSED,
        circuit_faults=0,
        circuit_trips=0,
        circuit_until=None,
        probe_worker=None,
        circuit_opened_at=None,
        circuit_reason=NO_REASON,
        circuit_needs_person=False,
    )


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """What a fault changed: when the destination is tried again, and whether the circuit opened."""

    retry_at: dt.datetime
    opened: bool
    needs_person: bool
    circuit: Circuit = Circuit.CLOSED  # as it is from now on


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
    destination_id: int,
    effect: DestinationEffect,
    reason: Reason,
    chance: float,
    using: str,
    probe: Probe | None = None,
) -> CircuitChange:
    """Count a connection fault and open the circuit when there were too many.

    While a probe is under way, only its own fault opens the circuit. Otherwise a fault of an
    expired probe, or of an earlier session, would allow another probe beside it.

    That an account needs attention stays set until a success of any session, a probe's or another
    one's, or until a person's action. The other probe may be that success.
    """
    conf = get_conf()
    with transaction.atomic(using=using):
        now = database_now(using)
        destinations = Destination.objects.using(using).select_for_update(no_key=True)
        destination = destinations.filter(pk=destination_id).first()
        if destination is None:  # its account was deleted, and the sweep holds the messages
            return CircuitChange(retry_at=now, opened=False, needs_person=False)
        was_open = destination.circuit == Circuit.OPEN and (destination.circuit_until or now) > now
        needs_person = effect == DestinationEffect.OPEN_FOR_PERSON
        if needs_person or not destination.circuit_needs_person:
            destination.circuit_reason = reason  # an ordinary fault must not hide the other one
        destination.circuit_needs_person |= needs_person
        if _is_tested_by_another(destination, probe, now):
            destination.save(using=using, update_fields=["circuit_reason", "circuit_needs_person"])
            trips = max(destination.circuit_trips, 1)
            retry_at = circuit_backoff().next_attempt_at(now, trips, chance)
            return CircuitChange(
                retry_at=retry_at,
                opened=False,
                needs_person=destination.circuit_needs_person,
                circuit=Circuit.HALF_OPEN,
            )
        destination.circuit_faults += 1
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
            destination.probe_worker = None
            destination.circuit_opened_at = destination.circuit_opened_at or now
        destination.save(using=using)
    return CircuitChange(
        retry_at=retry_at,
        opened=opens and not was_open,
        needs_person=destination.circuit_needs_person,
        circuit=Circuit(destination.circuit),
    )


def _is_tested_by_another(destination: Destination, probe: Probe | None, now: dt.datetime) -> bool:
    """Return whether a probe is under way that is not this one."""
    until = destination.circuit_until
    if destination.circuit != Circuit.HALF_OPEN or until is None or until <= now:
        return False
    return probe != Probe(destination.pk, destination.probe_worker_id or 0, until)
