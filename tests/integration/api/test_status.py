"""How the whole outbox is doing, by its own numbers."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.models import OPEN, Circuit, Destination, Recipient, State, Worker
from outbox.reasons import Reason, ReasonCode
from tests.integration.api.conftest import Queue
from tests.states import set_state

pytestmark = pytest.mark.django_db


def a_worker(lease_duration: float) -> Worker:
    now = timezone.now()
    until = now + dt.timedelta(seconds=lease_duration)
    return Worker.objects.create(
        host="here", pid=7, started_at=now, heartbeat_at=now, lease_until=until
    )


def test_an_empty_outbox_has_a_zero_for_every_state() -> None:
    report = api.status()
    assert report.counts == dict.fromkeys((state.value for state in OPEN), 0)
    assert report.oldest_overdue_at is None
    assert (report.workers, report.blocked_destinations) == ([], [])
    assert api.status(totals=True).counts == dict.fromkeys((state.value for state in State), 0)


def test_recipients_are_counted_by_state(queue: Queue) -> None:
    queue("a@example.net", "b@example.net")
    for state in (State.DEFERRED, State.SENDING, State.UNCERTAIN, State.HELD, State.SENT):
        queue(state=state)
    open_counts = {"queued": 2, "deferred": 1, "sending": 1, "uncertain": 1, "held": 1}
    assert api.status().counts == open_counts
    totals = api.status(totals=True).counts
    assert {state: count for state, count in totals.items() if count} == open_counts | {"sent": 1}


def test_what_is_delivered_is_not_read(queue: Queue) -> None:
    queue()
    with CaptureQueriesContext(connection) as queries:
        api.status()
    counted = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counted
    wheres = [sql.partition("WHERE")[2] for sql in counted]
    assert all(
        '"next_attempt_at" IS NOT NULL' in each or '"final_at" IS NULL' in each for each in wheres
    )


def test_overdue_recipients_are_counted_separately(queue: Queue) -> None:
    now = timezone.now()
    for seconds in (-30, 600, 1200):
        set_state(
            Recipient.objects.filter(message=queue()),
            State.DEFERRED,
            next_attempt_at=now + dt.timedelta(seconds=seconds),
        )
    report = api.status()
    assert (report.counts["deferred"], report.overdue) == (3, 1)
    assert report.next_due_at == now + dt.timedelta(seconds=600)


def test_the_oldest_that_waits_is_the_one_due_first(queue: Queue) -> None:
    now = timezone.now()
    for seconds in (-30, -90, 600):
        message = queue()
        Recipient.objects.filter(message=message).update(
            next_attempt_at=now + dt.timedelta(seconds=seconds)
        )
    queue(state=State.SENT)
    assert api.status().oldest_overdue_at == now - dt.timedelta(seconds=90)


def test_a_scheduled_message_is_not_overdue(queue: Queue) -> None:
    queue(send_at=timezone.now() + dt.timedelta(days=1))
    assert api.status().oldest_overdue_at is None


def test_workers_without_a_heartbeat_are_not_alive() -> None:
    living, silent = a_worker(60), a_worker(-60)
    ended = a_worker(60)
    Worker.objects.filter(pk=ended.pk).update(ended_at=timezone.now())
    assert [worker.alive for worker in api.status().workers] == [True, False]
    assert living.pk < silent.pk


def test_an_open_circuit_is_reported_with_its_reason_and_end(queue: Queue) -> None:
    queue()
    until = timezone.now() + dt.timedelta(minutes=5)
    Destination.objects.update(
        circuit=Circuit.OPEN, circuit_reason=Reason(ReasonCode.LOGIN_REJECTED), circuit_until=until
    )
    [held] = api.status().blocked_destinations
    assert (held.rule, held.reason, held.reason_code, held.until) == (
        "circuit",
        "The server rejected the login.",
        "login_rejected",
        until,
    )


def test_a_broker_that_is_down_is_seen_to_be() -> None:
    """No Redis runs in this test."""
    assert not api.status().broker_seen
