"""The engine of a process is replaced when it ends early, and sweeps when no other process does."""

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from dev.redis_server import RedisServer
from outbox import tasks, wakeup
from outbox.db.clock import database_now
from outbox.delivery import process
from outbox.models import Recipient, Slot, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.conftest import OURS
from tests.integration.delivery.mail_client import (
    account_at,
    all_in,
    queue,
    queue_many,
    states,
    until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    process.stop()


def test_an_engine_that_lost_its_lease_is_replaced() -> None:
    """No task has to arrive: Redis may be unavailable."""
    process.start(lambda: None)
    until(Worker.objects.exists, "the first engine was registered")

    Worker.objects.update(ended_at=database_now("default"))

    until(lambda: Worker.objects.filter(ended_at=None).count() == 1, "another engine was started")


def test_the_periodic_work_is_done_when_no_sweep_was_requested(settings: LazySettings) -> None:
    settings.OUTBOX = OURS | {"SWEEP_INTERVAL": 0.1}
    done = threading.Semaphore(0)

    process.start(done.release)

    assert all(done.acquire(timeout=30) for _ in range(3))


def test_the_periodic_work_is_repeated_after_an_error(settings: LazySettings) -> None:
    settings.OUTBOX = OURS | {"SWEEP_INTERVAL": 0.1}
    done = threading.Semaphore(0)

    def fail() -> None:
        done.release()
        raise ValueError("the first sweep fails")

    process.start(fail)

    assert all(done.acquire(timeout=30) for _ in range(2))


def test_a_sweep_right_after_another_one_does_nothing(
    fault_lab: StartLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage, hundreds of requests may be waiting in the queue."""
    monkeypatch.setattr(process, "_JUST_SWEPT", 600)  # also on a busy machine
    message = queue(account_at(fault_lab("")), expires_after=dt.timedelta(days=1))
    in_an_hour = database_now("default") + dt.timedelta(hours=1)
    Recipient.objects.filter(message=message).update(next_attempt_at=in_an_hour)
    process.record_sweep()
    Recipient.objects.filter(message=message).update(expires_at=database_now("default"))

    tasks.sweep()
    assert states() == [State.QUEUED]

    monkeypatch.setattr(process, "_JUST_SWEPT", 0.01)
    until(lambda: not process.has_just_swept(), "the next sweep is useful")
    tasks.sweep()
    assert states() == [State.EXPIRED]


def test_a_worker_sweeps_by_itself_only_if_no_other_one_was_asked(
    fault_lab: StartLab, redis_server: RedisServer
) -> None:
    message = queue(account_at(fault_lab("")))
    in_an_hour = database_now("default") + dt.timedelta(hours=1)
    Recipient.objects.filter(message=message).update(
        next_attempt_at=in_an_hour, expires_at=database_now("default")
    )
    wakeup.record_sweep(60)

    tasks._sweep_if_silent()
    assert states() == [State.QUEUED]

    redis_server.clear()
    tasks._sweep_if_silent()
    assert states() == [State.EXPIRED]


def test_a_recycled_process_delivers_what_is_due_before_it_ends(fault_lab: StartLab) -> None:
    """Celery may replace a process after each task, before its engine claimed anything."""
    messages = queue_many(account_at(fault_lab("")), 30)

    process.start(lambda: None)
    process.stop(finish_within=30)

    assert all_in(State.SENT, messages)()
    assert not Slot.objects.exists()
    assert Worker.objects.get().ended_at is not None
