"""After its lease has ended, a worker sends no final dot and changes no state."""

import datetime as dt
import time
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections
from django.utils import timezone

from outbox.db.clock import database_now
from outbox.delivery import lease
from outbox.delivery.sweep import sweep
from outbox.models import DUE, Attempt, Event, EventKind, Outcome, Slot, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    USING,
    Working,
    a_worker,
    account,
    account_at,
    claim_due,
    destination,
    last_attempt,
    queue,
    states,
    until,
)


def expire_leases() -> None:
    """End the leases of all workers, as if they had sent no heartbeat, and run a sweep."""
    Worker.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    sweep(USING)


@pytest.mark.django_db
def test_a_worker_that_joins_is_counted_at_once() -> None:
    """Until the next heartbeat each of them would take every connection."""
    first = lease.register("1.2.3", USING)
    second = lease.register("1.2.3", USING)
    lease.count_workers(first, USING)
    assert (first.workers_alive, second.workers_alive) == (2, 2)
    assert (first.rank, second.rank) == (0, 1)


@pytest.mark.django_db
def test_a_worker_is_registered_with_host_and_process() -> None:
    held = lease.register("1.2.3", USING)
    worker = Worker.objects.get(pk=held.worker_id)
    assert worker.host
    assert worker.pid
    assert (worker.version, worker.ended_at) == ("1.2.3", None)
    assert (worker.lease_until - worker.started_at).total_seconds() == 30
    assert held.held


@pytest.mark.django_db
def test_renewing_extends_the_lease_and_counts_live_workers() -> None:
    held = lease.register("", USING)
    a_worker()
    a_worker(lease_duration=-1)
    Worker.objects.filter(pk=held.worker_id).update(
        lease_until=timezone.now() + dt.timedelta(seconds=1)
    )
    before = held.until
    lease.renew(held, USING)
    assert held.until > before
    assert held.workers_alive == 2
    assert Worker.objects.get(pk=held.worker_id).lease_until > timezone.now() + dt.timedelta(
        seconds=20
    )


@pytest.mark.django_db
def test_it_knows_the_database_s_time_without_a_query() -> None:
    """Protocol item 104: a host whose clock is wrong neither floods servers nor loses messages."""
    held = lease.register("", USING)
    assert abs(held.now - database_now(USING)) < dt.timedelta(minutes=1)
    held.seen += dt.timedelta(hours=5)  # as if this host's clock were five hours slow
    before = held.now
    until(lambda: held.now > before + dt.timedelta(seconds=0.05), "its time went on")
    assert held.now - before < dt.timedelta(minutes=1)
    lease.renew(held, USING)
    assert abs(held.now - database_now(USING)) < dt.timedelta(minutes=1)


@pytest.mark.django_db
@pytest.mark.parametrize("when", ["registered", "renewed"])
def test_a_slow_response_does_not_advance_its_clock(when: str) -> None:
    """Otherwise a returned recipient would not be due yet when the worker polls."""
    held = lease.register("", USING) if when == "renewed" else None
    with connections[USING].execute_wrapper(slowly):
        if held:
            lease.renew(held, USING)
        else:
            held = lease.register("", USING)
    ahead = held.now - database_now(USING)
    assert ahead < dt.timedelta(milliseconds=2)  # SQLite's clock counts milliseconds


def slowly(execute: Any, *call: Any) -> Any:
    """Simulate a new connection, or a busy database."""
    time.sleep(0.1)  # the delay itself: nothing is waited for
    return execute(*call)


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["ran out", "ended"])
def test_a_lost_lease_stays_lost(how: str) -> None:
    held = lease.register("", USING)
    if how == "ran out":
        Worker.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    else:
        Worker.objects.update(ended_at=timezone.now())
    lease.renew(held, USING)
    assert held.lost
    assert not held.held
    Worker.objects.update(lease_until=timezone.now() + dt.timedelta(days=1), ended_at=None)
    assert not held.held


@pytest.mark.django_db
def test_a_worker_without_a_database_stops_by_its_own_clock(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"LEASE_DURATION": 0.05}
    held = lease.register("", USING)
    until(lambda: not held.held, "it knew by itself")
    assert not held.lost  # the database did not report it yet


@pytest.mark.django_db
@pytest.mark.parametrize("is_swept", [False, True], ids=["lapsed", "swept"])
def test_a_worker_whose_lease_has_ended_claims_nothing(is_swept: bool) -> None:
    """The worker notices at its next heartbeat; until then the claim rejects it."""
    sender = account()
    message = queue(sender)
    late, other = a_worker(lease_duration=-1), a_worker()
    if is_swept:
        sweep(USING)
    assert claim_due(sender, late) == []
    assert states(message) == [State.QUEUED]
    assert not Attempt.objects.exists()
    [job] = claim_due(sender, other)
    assert Attempt.objects.get(pk=job.attempt_id).worker == other


@pytest.mark.django_db
def test_the_end_of_a_worker_releases_its_slots() -> None:
    held = lease.register("", USING)
    where = destination(account())
    Slot.objects.create(destination=where, number=1, worker_id=held.worker_id)
    lease.end(held, USING)
    assert not Slot.objects.exists()
    assert Worker.objects.get().ended_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_lease_sends_no_final_dot(fault_lab: StartLab) -> None:
    """Protocol item 98."""
    lab = fault_lab("at data: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        expire_leases()
        assert states(message) == [State.DEFERRED]
        lab.skip_delays()
        working.join()  # it ends by itself
    assert not lab.ledger.accepted
    assert not any(taken.dot for taken in lab.ledger.transactions)
    attempt = Attempt.objects.order_by("pk")[0]
    assert (attempt.outcome, attempt.dot_marked_at) == (Outcome.ABANDONED, None)
    assert attempt.late_reply == "The message was withdrawn before its end was sent."
    assert states(message)[0] in DUE  # for the next worker


@pytest.mark.django_db(transaction=True)
def test_a_late_reply_resolves_the_uncertain_recipient(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        until(
            lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "a final dot was marked"
        )
        expire_leases()
        assert states(message) == [State.UNCERTAIN]
        lab.skip_delays()
        working.join()
    assert len(lab.ledger.accepted) == 1
    assert states(message) == [State.SENT]
    assert last_attempt(message).late_reply.startswith("250 ")
    kinds = Event.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == [EventKind.LOST_WORKER, EventKind.LATE_REPLY]


@pytest.mark.django_db(transaction=True)
def test_another_worker_takes_over_at_once(fault_lab: StartLab, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}  # no reply will come
    lab = fault_lab("on connection 1: at data: black-hole")
    message = queue(account_at(lab))
    with Working() as silent:
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        expire_leases()
        with Working():
            until(lambda: states(message) == [State.SENT], "the other one sent it")
        silent.join()
    assert len(lab.ledger.accepted) == 1
    assert states(message) == [State.SENT]
    # One each, and one more if the silent worker claimed before its heartbeat found the lease lost.
    assert message.attempts.count() in {2, 3}


@pytest.mark.django_db(transaction=True)
def test_an_early_mark_does_not_outlive_the_lease(fault_lab: StartLab) -> None:
    """On a proven session the dot is marked during the envelope, long before a slow 354."""
    lab = fault_lab("at data of message 2: late 60")
    sender = account_at(lab, max_connections=1)
    first, second = queue(sender, "ann@example.net"), queue(sender)
    with Working() as working:
        until(lambda: states(first) == [State.SENT], "the session proved itself")
        until(lambda: last_attempt(second).dot_marked_at is not None, "the mark was early")
        expire_leases()
        assert states(second) == [State.UNCERTAIN]
        until(lambda: not working.engine.may_claim, "it noticed the lost lease")
        lab.skip_delays()
        working.join()
    assert len(lab.ledger.accepted) == 1, "a dot left under a lost lease"
    assert states(second) == [State.DEFERRED]  # its late reply: certainly unsent
