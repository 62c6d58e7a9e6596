"""The limits that all workers share: slots, the circuit, the rate limits."""

import asyncio
import datetime as dt
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

import pytest
from django.conf import LazySettings
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.db.clock import database_now
from outbox.delivery import circuit, limits, record
from outbox.delivery.claim import Claim, claim
from outbox.delivery.claimed import ClaimedJobs
from outbox.delivery.context import DeliveryContext
from outbox.delivery.destination_reports import DestinationReports
from outbox.delivery.job import Job, JobsReturned, SlotsReleased
from outbox.delivery.lease import Lease, is_unlocked
from outbox.delivery.limited_claim import LimitsOfClaim, claim_within_limits
from outbox.delivery.mx_opener import MxOpener
from outbox.delivery.mx_router import MxRouter
from outbox.delivery.openers import SmarthostOpener
from outbox.delivery.runner import DestinationRunner
from outbox.delivery.slots import RunnerSlots, SlotRequest
from outbox.delivery.sweep import sweep
from outbox.models import Account, Attempt, Circuit, Destination, Message, Slot, State, Worker
from outbox.models.destination import DestinationEffect
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.direct_lab import DirectLab, direct_account, direct_lab, site
from tests.integration.delivery.mail_client import (
    USING,
    Reservation,
    a_worker,
    account,
    account_at,
    claim_due,
    deliver,
    destination,
    is_sqlite,
    queue,
    queue_many,
    refusing,
    reserve,
    row,
)
from tests.integration.delivery.outage import Outage, breakable_database
from tests.integration.delivery.test_rows_in_hand import in_context

pytestmark = pytest.mark.django_db

FAULT, OPEN, PERSON = (
    DestinationEffect.FAULT,
    DestinationEffect.OPEN,
    DestinationEffect.OPEN_FOR_PERSON,
)
FAILED_TO_CONNECT = Reason(ReasonCode.CONNECTION_REFUSED)


@pytest.fixture
def lab(settings: LazySettings) -> Iterator[DirectLab]:
    with direct_lab(settings) as started:
        yield started


def a_fault(
    where: Destination,
    effect: DestinationEffect = FAULT,
    chance: float = 0,
    probe: circuit.Probe | None = None,
) -> circuit.CircuitChange:
    return circuit.report_fault(where.pk, effect, FAILED_TO_CONNECT, chance, USING, probe)


def claim_of(
    sender: Account,
    worker: Worker | None = None,
    *,
    room: int = 10,
    slots: SlotRequest | None = None,
) -> Claim:
    worker = worker or a_worker()
    return claim_within_limits(destination(sender), worker.pk, room, 0, USING, slots)


def slot_request(
    sender: Account, worker: Worker, *, most: int, held: int = 0, jobs_waiting: int = 0
) -> SlotRequest:
    now, seen_at = database_now(USING), time.monotonic()
    return SlotRequest(
        destination=destination(sender),
        held_lease=Lease(worker.pk, seen_at + 60, seen=now, seen_at=seen_at, counted_at=seen_at),
        using=USING,
        most=most,
        held=held,
        jobs_waiting=jobs_waiting,
    )


def numbers(slots: Sequence[limits.HeldSlot]) -> list[int]:
    return [slot.number for slot in slots]


def close_connection() -> None:
    """Close the connection of the thread, which it opens again when it needs one."""
    connections[USING].close()


def advance_time(where: Destination, **past: float) -> None:
    """Move the times of a destination into the past."""
    span = dt.timedelta(**past)
    names = ("circuit_until", "minute_started_at", "day_started_at", "paused_until")
    Destination.objects.filter(pk=where.pk).update(**{name: F(name) - span for name in names})
    where.refresh_from_db()


# Slots.


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_concurrent_workers_take_no_more_slots_than_there_are() -> None:
    """Protocol item 108."""
    sender = account(max_connections=5)
    workers = [a_worker() for _ in range(8)]
    start = threading.Barrier(8)
    taken: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        try:
            start.wait(10)
            for _ in range(10):
                request = slot_request(sender, workers[number], most=2, jobs_waiting=2)
                request.look_and_reserve()
                mine = numbers(request.reserved)
                with lock:
                    taken.extend(mine)
                    most.append(len(taken))
                    assert len(set(taken)) == len(taken)
                with lock:  # removed before another worker can reserve them
                    for one in mine:
                        taken.remove(one)
                limits.release_slots(request.reserved, USING)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 1 < max(most) <= 5
    assert not Slot.objects.exists()


def test_a_lowered_limit_applies_at_once() -> None:
    where, worker = destination(account()), a_worker()

    def take(wanted: int, limit: int) -> list[limits.HeldSlot]:
        free = limits.free_slots(where.pk, limit, USING)
        return limits.insert_slots(where.pk, worker.pk, free[:wanted], USING)

    taken = take(3, limit=3)
    assert numbers(taken) == [1, 2, 3]
    limits.release_slots(taken[:1], USING)
    assert numbers(take(3, limit=2)) == [1]
    assert take(1, limit=2) == []
    assert numbers(take(9, limit=4)) == [4]


def test_a_worker_cannot_release_another_worker_s_slot() -> None:
    where, mine, other = destination(account()), a_worker(), a_worker()
    [slot] = limits.insert_slots(where.pk, mine.pk, [1], USING)
    limits.release_slots([slot._replace(worker_id=other.pk)], USING)
    assert Slot.objects.count() == 1


def test_a_release_is_of_one_destination() -> None:
    """SQLite assigns an id again if the transaction of a slot was rolled back."""
    where, worker = destination(account()), a_worker()
    [slot] = limits.insert_slots(where.pk, worker.pk, [1], USING)
    limits.release_slots([slot._replace(destination_id=where.pk + 1)], USING)
    assert Slot.objects.count() == 1


def test_a_repeated_release_does_not_release_a_later_slot() -> None:
    """The recorder repeats it if the response to its commit was lost."""
    where, worker = destination(account()), a_worker()
    slots = limits.insert_slots(where.pk, worker.pk, [1], USING)
    released = SlotsReleased(destination_id=where.pk, slots=slots)
    record.write([released], USING)
    assert not Slot.objects.exists()
    limits.insert_slots(where.pk, worker.pk, [1], USING)
    record.write([released], USING)
    assert Slot.objects.count() == 1


@pytest.mark.parametrize(
    ("limit", "workers", "share"),
    [(10, 1, 10), (10, 2, 5), (10, 3, 4), (1, 4, 1), (5, 0, 5), (2, 500, 1)],
)
def test_no_worker_takes_all_slots_while_others_live(limit: int, workers: int, share: int) -> None:
    assert limits.fair_share(limit, workers) == share


# The circuit, protocol item 107.


def test_the_circuit_opens_after_several_faults_in_a_row(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_THRESHOLD": 3, "CIRCUIT_PAUSE_INITIAL": 10}
    where = destination(account())
    assert [a_fault(where).opened for _ in range(3)] == [False, False, True]
    where.refresh_from_db()
    assert (where.circuit, where.circuit_reason) == (Circuit.OPEN, FAILED_TO_CONNECT)
    assert not where.circuit_needs_person
    assert where.circuit_until is not None
    assert 9 < (where.circuit_until - timezone.now()).total_seconds() <= 10


def test_a_success_resets_the_count_of_faults() -> None:
    where = destination(account())
    a_fault(where)
    a_fault(where)
    circuit.report_success(where.pk, USING)
    assert not a_fault(where).opened


@pytest.mark.parametrize(("effect", "needs_person"), [(OPEN, False), (PERSON, True)])
def test_some_faults_open_the_circuit_at_once(
    effect: DestinationEffect, needs_person: bool
) -> None:
    """Protocol items 22 and 43."""
    where = destination(account())
    trouble = a_fault(where, effect)
    assert (trouble.opened, trouble.needs_person) == (True, needs_person)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_needs_person) == (Circuit.OPEN, needs_person)


def test_a_circuit_that_needs_a_person_keeps_its_reason_at_a_later_fault() -> None:
    """A server that does not respond for a moment has not accepted the login."""
    where = destination(account())
    rejected = Reason(ReasonCode.SECRET_UNREADABLE)
    circuit.report_fault(where.pk, PERSON, rejected, 0, USING)
    for effect in (FAULT, OPEN):
        advance_time(where, minutes=30)
        trouble = a_fault(where, effect, probe=reserve(where, 1).probe)
        assert (trouble.opened, trouble.needs_person) == (True, True)
        where.refresh_from_db()
        assert (where.circuit_needs_person, where.circuit_reason) == (True, rejected)

    other = Reason(ReasonCode.SECRET_KEYS_MISSING)
    circuit.report_fault(where.pk, PERSON, other, 0, USING)
    where.refresh_from_db()
    assert where.circuit_reason == other
    api.close_circuit(where)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_needs_person) == (Circuit.CLOSED, False)


def test_a_fault_beside_the_probe_of_another_worker_notifies_a_person() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    assert reserve(where, 1).probe
    trouble = a_fault(where, PERSON)
    assert (trouble.opened, trouble.needs_person) == (False, True)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_needs_person) == (Circuit.HALF_OPEN, True)
    assert where.circuit_reason == FAILED_TO_CONNECT
    circuit.report_success(where.pk, USING)
    where.refresh_from_db()
    assert not where.circuit_needs_person


def test_an_open_circuit_allows_no_reservation() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    assert reserve(where, 10) == Reservation(0)
    where.refresh_from_db()
    assert where.is_blocked(timezone.now())


def test_faults_of_earlier_connections_do_not_extend_the_pause() -> None:
    where = destination(account())
    first = a_fault(where, OPEN)
    second = a_fault(where, OPEN)
    assert (second.opened, second.retry_at) == (False, first.retry_at)
    where.refresh_from_db()
    assert where.circuit_trips == 1


def test_a_half_open_circuit_allows_one_probe() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    assert not where.is_blocked(timezone.now())
    reservation = reserve(where, 10)
    assert reservation.recipients == 1
    assert reservation.probe
    assert reserve(where, 10) == Reservation(0)
    where.refresh_from_db()
    assert where.circuit == Circuit.HALF_OPEN
    assert where.is_blocked(timezone.now())


def test_a_probe_whose_worker_died_is_followed_by_another() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    reserve(where, 1)
    advance_time(where, hours=2)  # longer than a probe may take
    assert reserve(where, 10).recipients == 1


def test_the_sweep_releases_the_probe_of_a_worker_that_ended() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    lost, alive = a_worker().pk, a_worker().pk
    assert reserve(where, 1, lost).probe
    sweep(USING)
    assert reserve(where, 1, alive) == Reservation(0)  # its worker may still be connecting

    Worker.objects.filter(pk=lost).update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    sweep(USING)
    assert reserve(where, 1, alive).probe
    sweep(USING)
    assert reserve(where, 1, lost) == Reservation(0)


def test_an_unused_probe_allows_the_next_one() -> None:
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    probe = reserve(where, 1).probe
    assert probe
    assert circuit.return_probe(probe, USING)
    assert reserve(where, 10).probe


def test_an_expired_probe_does_not_end_the_one_of_another_worker() -> None:
    """Otherwise two workers would test the server at once."""
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    expired = reserve(where, 1).probe
    advance_time(where, hours=2)  # longer than a probe may take
    current = reserve(where, 1).probe
    assert expired
    assert current

    assert not circuit.return_probe(expired, USING)
    assert reserve(where, 1) == Reservation(0)
    assert circuit.return_probe(current, USING)
    assert not circuit.return_probe(current, USING)


@pytest.mark.parametrize("had_probe", [True, False])
def test_a_late_fault_does_not_end_the_probe_of_another_worker(had_probe: bool) -> None:
    """It is of an expired probe, or of a session that was opened before."""
    where = destination(account())
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    expired = reserve(where, 1).probe if had_probe else None
    advance_time(where, hours=2)
    current = reserve(where, 1).probe
    assert current

    late = a_fault(where, OPEN, probe=expired)

    where.refresh_from_db()
    assert not late.opened
    assert (where.circuit, where.circuit_trips) == (Circuit.HALF_OPEN, 1)
    assert (where.probe_worker_id, where.circuit_until) == (current.worker_id, current.until)
    assert a_fault(where, probe=current).opened


def test_a_probe_lasts_as_long_as_its_server_may_take(settings: LazySettings) -> None:
    """It includes the transaction; at an MX site, several hosts may be tried before."""
    settings.OUTBOX = settings.OUTBOX | {"DOT_TIMEOUT": 7200}
    by_server = destination(account())
    direct = direct_account(name="by MX")
    by_mx = Destination.objects.create(account=direct, key="mx:mx.example.net")
    leases = []
    for where in (by_server, by_mx):
        a_fault(where, OPEN)
        advance_time(where, minutes=5)
        probe = reserve(where, 1).probe
        assert probe
        leases.append((probe.until - timezone.now()).total_seconds())
    assert leases[0] > 7200
    assert 290 < leases[1] - leases[0] < 310


def test_an_expired_probe_does_not_end_a_later_one_of_its_worker() -> None:
    where = destination(account())
    worker_id = a_worker().pk
    a_fault(where, OPEN)
    advance_time(where, minutes=1)
    expired = reserve(where, 1, worker_id).probe
    advance_time(where, hours=2)  # longer than a probe may take
    assert reserve(where, 1, worker_id).probe
    assert expired

    assert not circuit.return_probe(expired, USING)


@pytest.mark.django_db(transaction=True)  # the recorder has a connection of its own
def test_a_probe_that_no_session_began_is_returned_with_its_message() -> None:
    """The worker read the destination before its circuit opened, so only the claim knows of it."""
    where = destination(account(per_minute=10))
    queue(where.account)
    a_fault(where, OPEN)
    Destination.objects.update(circuit_until=timezone.now())

    async def return_claimed(context: DeliveryContext) -> None:
        where.circuit = Circuit.CLOSED
        claimed = ClaimedJobs(context)
        await claimed.fill(where, 10)
        assert len(claimed) == 1
        assert await context.in_claimer(lambda: reserve(where, 1)) == Reservation(0)
        claimed.return_all()
        await context.recorder.caught_up(where.pk)

    in_context(return_claimed)

    assert reserve(where, 1).probe


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_fails_returns_its_probe_and_its_reservation() -> None:
    where = destination(account(per_minute=10))
    queue(where.account)
    a_fault(where, OPEN)
    Destination.objects.update(circuit_until=timezone.now())
    where.refresh_from_db()

    async def fill(context: DeliveryContext) -> None:
        with pytest.raises(DatabaseError):
            await ClaimedJobs(context).fill(where, 10)
        await context.recorder.caught_up(where.pk)

    with refusing("outbox_recipient", "true"):
        in_context(fill)

    where.refresh_from_db()
    assert where.minute_count == 0
    assert reserve(where, 1).probe


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_half_open", [False, True])
def test_a_worker_that_read_a_closed_circuit_claims_nothing_at_an_open_one(
    is_half_open: bool,
) -> None:
    where = destination(account())
    message = queue(where.account)
    as_read = Destination.objects.select_related("account").get()
    a_fault(where, OPEN)
    if is_half_open:
        advance_time(where, minutes=1)
        assert reserve(where, 1).probe

    async def fill(context: DeliveryContext) -> int:
        claimed = ClaimedJobs(context)
        await claimed.fill(as_read, 10)
        number = len(claimed)
        claimed.return_all()
        await context.recorder.caught_up(where.pk)
        return number

    assert in_context(fill) == 0
    assert row(message).state == State.QUEUED
    circuit.report_success(where.pk, USING)
    assert in_context(fill) == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_knows_the_circuit_that_its_fault_opened() -> None:
    where = destination(account())

    async def report(context: DeliveryContext) -> None:
        await DestinationReports(context).report_fault(where, OPEN, FAILED_TO_CONNECT)

    in_context(report)

    assert where.circuit == Circuit.OPEN
    assert limits.has_limits(where, timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_probe_of_a_runner_that_read_a_closed_circuit_ends(
    lab: DirectLab,
) -> None:
    """Its lookup fails, which says nothing about the server."""
    lab.server("mx.example.net")
    lab.domain("example.net", "10 mx.example.net")
    sender = direct_account(per_minute=10)
    queue(sender)
    deliver()
    where = site(sender, "mx.example.net")
    a_fault(where, OPEN)
    Destination.objects.filter(pk=where.pk).update(circuit_until=timezone.now())
    lab.fail("at mx <example.net>: servfail")
    lab.forget("example.net", "MX")
    message = queue(sender)

    async def run(context: DeliveryContext) -> None:
        router = MxRouter(context)
        runner = DestinationRunner(context, where, MxOpener(router, context))
        where.circuit, where.circuit_faults = Circuit.CLOSED, 0
        await runner.feed_due(where, asyncio.get_running_loop().time())
        async with asyncio.timeout(60):
            while runner.has_jobs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # no event says that it is idle
        await runner.close(10)
        router.close()

    in_context(run)

    assert row(message).state == State.DEFERRED
    assert reserve(where, 1).probe


async def deliver_due(runner: DestinationRunner) -> None:
    """Feed a runner once, and wait until it has no jobs. Its sessions may stay open."""
    await runner.feed_due(runner.destination, asyncio.get_running_loop().time())
    async with asyncio.timeout(60):
        while runner.has_jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # no event says that it is idle


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("script", "faults"),
    [("at mail: close", 1), ("at mail: 421 4.7.0 Too many connections then close", 0)],
)
def test_a_session_that_ends_before_mail_reduces_the_concurrency(
    fault_lab: StartLab, script: str, faults: int
) -> None:
    """Protocol item 109. The session was opened, which had allowed a second one."""
    where = destination(account_at(fault_lab(script)))
    queue(where.account)

    async def run(context: DeliveryContext) -> int:
        runner = DestinationRunner(context, where, SmarthostOpener(context))
        await deliver_due(runner)
        await runner.close(10)
        return runner._sessions_allowed

    assert in_context(run) == 1
    assert destination(where.account).circuit_faults == faults


def test_an_ordinary_refund_does_not_disturb_a_probe() -> None:
    where = destination(account(per_minute=10))
    reserve(where, 5)
    a_fault(where, OPEN)
    advance_time(where, seconds=30)
    assert reserve(where, 1).probe
    limits.refund(where.pk, 5, USING)
    assert reserve(where, 1) == Reservation(0)


def test_a_success_closes_and_resets_the_circuit() -> None:
    where = destination(account())
    a_fault(where, PERSON)
    circuit.report_success(where.pk, USING)
    where.refresh_from_db()
    assert (where.circuit, where.circuit_faults, where.circuit_trips) == (Circuit.CLOSED, 0, 0)
    assert (where.circuit_until, where.circuit_opened_at) == (None, None)
    assert (where.circuit_reason, where.circuit_needs_person) == (NO_REASON, False)


def test_a_failed_probe_doubles_the_pause(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_PAUSE_INITIAL": 10, "CIRCUIT_PAUSE_MAX": 50}
    where = destination(account())
    a_fault(where, OPEN)
    pauses = []
    for _ in range(4):
        advance_time(where, minutes=1)
        trouble = a_fault(where, probe=reserve(where, 1).probe)  # one is enough now
        assert trouble.opened
        pauses.append(round((trouble.retry_at - timezone.now()).total_seconds()))
    assert pauses == [20, 40, 50, 50]


def test_a_fault_of_a_deleted_account_s_server_is_ignored() -> None:
    where = destination(account())
    Account.objects.all().delete()
    assert not a_fault(where, PERSON).opened


# Rate limits, protocol item 110.


def test_a_limit_counts_only_reserved_recipients() -> None:
    where = destination(account(per_minute=10))
    assert [reserve(where, 4).recipients for _ in range(4)] == [4, 4, 2, 0]


def test_the_next_minute_has_its_own_count() -> None:
    where = destination(account(per_minute=3))
    assert reserve(where, 9).recipients == 3
    advance_time(where, seconds=59)
    assert reserve(where, 9).recipients == 0
    advance_time(where, seconds=2)
    assert reserve(where, 9).recipients == 3


def test_the_limit_per_day_applies_across_minutes() -> None:
    where = destination(account(per_minute=3, per_day=5))
    got = []
    for _ in range(3):
        got.append(reserve(where, 9).recipients)
        advance_time(where, seconds=61)
    assert got == [3, 2, 0]
    advance_time(where, days=1)
    assert reserve(where, 9).recipients == 3


def test_an_unused_reservation_is_refunded() -> None:
    where = destination(account(per_minute=10))
    reserve(where, 8)
    limits.refund(where.pk, 5, USING)
    assert reserve(where, 9).recipients == 7


def test_a_refund_of_a_past_minute_does_not_affect_the_new_one() -> None:
    """The database rejects a negative count, and the claim before it would be lost."""
    where = destination(account(per_minute=10))
    reserve(where, 8)
    advance_time(where, seconds=61)
    reserve(where, 2)
    limits.refund(where.pk, 8, USING)
    assert reserve(where, 20).recipients == 10


def test_destinations_are_locked_first_and_in_the_order_of_their_keys() -> None:
    """As by a claim. Otherwise two transactions could wait for each other."""
    senders = [account(name=name, per_minute=10) for name in ("first", "second")]
    worker, items = a_worker(), []
    for sender in reversed(senders):
        queue(sender)
        jobs = claim_of(sender, worker).jobs
        items.append(JobsReturned(jobs=jobs, worker_id=worker.pk))
    with CaptureQueriesContext(connection) as queries:
        record.write(items, USING)
    found = [one["sql"] for one in queries]
    locked = next(n for n, sql in enumerate(found) if 'FROM "outbox_destination"' in sql)
    assert "ORDER BY" in found[locked]
    assert not any("outbox_attempt" in sql for sql in found[:locked])
    counts = Destination.objects.values_list("minute_count", flat=True)
    assert list(counts) == [0, 0]


# Reservations of a claim.


def test_a_claim_counts_only_what_it_takes() -> None:
    sender = account(per_minute=10)
    queue_many(sender, 2)
    assert len(claim_of(sender, room=6).jobs) == 2
    assert Destination.objects.get().minute_count == 2
    assert not claim_of(sender, room=6).jobs
    assert Destination.objects.get().minute_count == 2


def test_a_claim_takes_a_slot_for_each_job_and_no_other() -> None:
    sender, worker = account(max_connections=3), a_worker()
    queue_many(sender, 2)
    request = slot_request(sender, worker, most=5)
    assert len(claim_of(sender, worker, slots=request).jobs) == 2
    assert numbers(request.reserved) == [1, 2]
    assert list(Slot.objects.values_list("number", flat=True)) == [1, 2]
    nothing_due = slot_request(sender, worker, most=1, held=2)
    assert not claim_of(sender, worker, slots=nothing_due).jobs
    assert nothing_due.reserved == []


def test_nothing_is_claimed_or_counted_without_a_slot() -> None:
    sender = account(max_connections=1, per_minute=10)
    queue(sender)
    limits.insert_slots(destination(sender).pk, a_worker().pk, [1], USING)
    request = slot_request(sender, a_worker(), most=1)
    assert not claim_of(sender, slots=request).jobs
    where = destination(sender)
    assert (where.minute_count, request.reserved) == (0, [])
    assert row(Message.objects.get()).state == State.QUEUED


def test_a_claim_does_not_count_if_another_worker_reserved_the_only_slot() -> None:
    """Of an account without rate limits, two workers see the same free slot."""
    sender, worker = account(max_connections=1), a_worker()
    queue(sender)
    request = slot_request(sender, worker, most=1)
    within = LimitsOfClaim(destination(sender), worker.pk, USING, request)
    assert within.allow(5) == 5
    limits.insert_slots(destination(sender).pk, a_worker().pk, [1], USING)
    assert not within.count(claim_due(sender, worker))
    assert within.count([])


def test_a_claim_that_does_not_count_is_undone() -> None:
    class NoSlot:
        def allow(self, wanted: int) -> int:
            return wanted

        def count(self, jobs: Sequence[Job]) -> bool:
            return not jobs

    sender = account()
    message = queue(sender)
    claimed = claim(
        destination_id=destination(sender).pk,
        worker_id=a_worker().pk,
        limit=5,
        after_sender=0,
        using=USING,
        limits=NoSlot(),
    )
    assert claimed.jobs == []
    assert row(message).state == State.QUEUED
    assert not Attempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_job_for_an_idle_session_takes_no_slot(fault_lab: StartLab) -> None:
    """Another worker could not have it."""
    lab = fault_lab("")
    where = destination(account_at(lab, max_connections=5))
    queue(where.account)

    async def run(context: DeliveryContext) -> int:
        runner = DestinationRunner(context, where, SmarthostOpener(context))
        await deliver_due(runner)
        slot = await context.in_claimer(Slot.objects.get)
        await context.in_claimer(partial(queue, where.account))
        await deliver_due(runner)
        await runner.close(10)
        return slot.pk

    first = in_context(run)
    assert len(lab.ledger.accepted) == 2
    assert len(lab.ledger.sessions) == 1
    [following] = limits.insert_slots(where.pk, a_worker().pk, [1], USING)
    assert following.id == first + 1, "another one was reserved in between"


def test_a_drained_worker_claims_nothing() -> None:
    sender, worker = account(), a_worker()
    queue(sender)
    Worker.objects.update(drain_requested_at=database_now(USING))
    request = slot_request(sender, worker, most=1)
    request.held_lease.counted_at = -math.inf  # it was read long ago
    assert not claim_of(sender, worker, slots=request).jobs


def test_each_worker_begins_with_other_destinations() -> None:
    """Otherwise both would claim at the same ones, each of them in vain at every second one."""
    for port in range(25, 29):
        queue(account(port))
    due = [one.pk for one in limits.due_destinations(USING)]
    assert len(due) == 4

    for rank in (0, 1):
        wanted = limits.Wanted(rank=rank, workers=2)
        found = [one.pk for one in limits.due_destinations(USING, wanted)]
        assert found == [
            *(pk for pk in due if pk % 2 == rank),
            *(pk for pk in due if pk % 2 != rank),
        ]
    # A runner that exists may have finished its jobs.
    wanted = limits.Wanted(running={due[3]}, rank=due[0] % 2, workers=2)
    assert limits.due_destinations(USING, wanted)[0].pk == due[3]


@pytest.mark.django_db(transaction=True)  # the recorder is a thread
def test_slots_that_are_perhaps_reserved_are_released() -> None:
    """The connection was lost, and no response says whether they were committed."""
    where = destination(account())

    async def lose(context: DeliveryContext) -> None:
        slots = RunnerSlots(context, where)
        with suppress(OperationalError):
            async with slots.requested(1, where, 1) as request:
                await context.in_claimer(request.look_and_reserve)
                assert numbers(request.reserved) == [1]
                raise OperationalError("the connection was lost")
        assert not await context.in_claimer(Slot.objects.exists)
        assert context.connections.used == 0

    in_context(lose)


@pytest.mark.django_db(transaction=True)
def test_slots_whose_response_is_lost_are_not_kept() -> None:
    """Jobs that were claimed before wait for them, so that no claim reserves them."""
    sender = account()
    where = destination(sender)

    async def lose(context: DeliveryContext, wire: Outage) -> None:
        await context.in_claimer(close_connection)  # it is opened again over the wire
        slots = RunnerSlots(context, where)
        wire.lose_next(b"INSERT INTO outbox_slot")
        with suppress(OperationalError):
            async with slots.requested(1, where, 1) as request:
                await context.in_claimer(request.look_and_reserve)
        assert wire.has_lost
        await context.recorder.caught_up(where.pk)
        assert context.connections.used == 0

    if is_sqlite():
        pytest.skip("SQLite responds with a return value, which cannot be lost")
    with breakable_database() as wire:
        in_context(lambda context: lose(context, wire))
    assert not Slot.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_slots_that_are_committed_late_are_released() -> None:
    where = destination(account())

    async def reserve_slots(context: DeliveryContext) -> None:
        slots = RunnerSlots(context, where)
        with suppress(OperationalError):
            async with slots.requested(1, where, 1) as request:
                await context.in_claimer(request.look_and_reserve)

    async def hold(context: DeliveryContext, wire: Outage) -> None:
        await context.in_claimer(close_connection)  # it is opened again over the wire
        wire.hold_next_commit()
        task = asyncio.create_task(reserve_slots(context))
        async with asyncio.timeout(30):
            while not wire.holds_commit:  # noqa: ASYNC110  # set by another thread
                await asyncio.sleep(0.01)
        is_free = partial(is_unlocked, context.lease.worker_id, USING)
        assert not await context.in_renewer(is_free), "nothing to wait for"
        wire.release()
        await task
        assert context.connections.used == 0

    if is_sqlite():
        pytest.skip("SQLite's commit is a call, which has ended when it returns")
    with breakable_database() as wire:
        in_context(lambda context: hold(context, wire))
    assert not Slot.objects.exists()


@pytest.mark.django_db(transaction=True)  # the database compares the keys at the commit
def test_a_claim_that_fails_reserves_nothing() -> None:
    sender, worker = account(max_connections=3, per_minute=10), a_worker()
    queue(sender)
    request = slot_request(sender, Worker(pk=worker.pk + 1_000), most=1)  # there is no such worker
    with pytest.raises(IntegrityError):
        claim_of(sender, worker, slots=request)
    assert destination(sender).minute_count == 0
    assert request.reserved == []
    assert not Slot.objects.exists()
    assert claim_of(sender, worker, slots=slot_request(sender, worker, most=1)).jobs


@pytest.mark.parametrize(
    ("bounds", "rule"),
    [
        ({"per_minute": 1}, "The limit of recipients per minute is reached (1)."),
        ({"per_day": 1}, "The limit of recipients per day is reached (1)."),
    ],
)
def test_a_waiting_message_names_the_rule_and_its_end(bounds: dict[str, int], rule: str) -> None:
    sender = account(**bounds)
    message = queue(sender)
    where = destination(sender)
    for _ in range(2):
        reserve(where, 1)
    where.refresh_from_db()
    explanation = api.explain(message)
    assert explanation.sentence == f"Waiting. {rule}"
    assert explanation.until == where.paused_until
    assert [held.reason for held in api.status().blocked_destinations] == [rule]


def test_a_raised_limit_blocks_nothing() -> None:
    """The owner need not wait for tomorrow."""
    sender = account(per_day=1)
    where = destination(sender)
    for _ in range(2):
        reserve(where, 1)
    where.refresh_from_db()
    assert where.is_blocked(timezone.now())
    Account.objects.update(per_day=100)
    where = Destination.objects.select_related("account").get()
    assert not where.is_blocked(timezone.now())
    assert reserve(where, 200).recipients == 99
    assert api.status().blocked_destinations == []
