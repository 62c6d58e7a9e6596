"""Every wait and every delivery is counted once, in a row of its worker. No sum ever decreases."""

import datetime as dt

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from outbox.api import operations
from outbox.db.clock import database_now
from outbox.delivery import old_counts, record
from outbox.delivery.job import Job, Result
from outbox.delivery.verdict import Verdict
from outbox.models import DeliveryTime, Message, Outcome, Recipient, State, Worker
from outbox.models.delivery_time import BOUNDS_MS, Measured, TimeKind, add_times, bucket_of
from outbox.smtp import Reply
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    queue,
    queue_many,
)

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]

OK = Verdict(state=State.SENT, reply=Reply(250, "2.0.0", "2.0.0 ok"), command="DOT")
FAILED = Verdict(state=State.FAILED, reply=Reply(550, "5.1.1", "5.1.1 Unknown"), command="RCPT")
SECOND = dt.timedelta(seconds=1)


def ended(job: Job, *verdicts: Verdict) -> Result:
    return Result(job=job, verdicts=list(verdicts) or [OK], outcome=Outcome.SENT)


def aged(message: Message, *, queued: int, due: int) -> Message:
    """Change a message so that it was queued and due so many seconds ago."""
    now = database_now(USING)
    Message.objects.filter(pk=message.pk).update(queued_at=now - queued * SECOND)
    message.recipients.update(next_attempt_at=now - due * SECOND)
    return message


def counted() -> dict[str, dict[int, int]]:
    """Return how many times of each kind are in each bucket that is not empty, by its seconds."""
    bounds = [*(bound // 1_000 for bound in BOUNDS_MS), -1]
    return {
        kind.value: {bounds[n]: count for n, count in enumerate(times.counts) if count}
        for kind, times in operations.delivery_times().items()
    }


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
def test_a_commit_adds_the_wait_and_the_time_of_the_delivery_once(number: int) -> None:
    message = queue(account(), *(f"bob{n}@example.net" for n in range(number)))
    job = claimed(aged(message, queued=200, due=20))
    for _ in range(3):  # its confirmation was lost
        record.write([ended(job, *[OK] * number)], USING)
    assert counted() == {"wait": {30: number}, "sent": {300: number}}
    times = operations.delivery_times()
    assert 20_000 <= times[TimeKind.WAIT].total_ms / number < 30_000
    assert 200_000 <= times[TimeKind.SENT].total_ms / number < 230_000


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
def test_a_delivery_that_has_not_ended_has_a_wait_only(number: int) -> None:
    message = queue(account(), *(f"bob{n}@example.net" for n in range(number)))
    later = Verdict(state=State.DEFERRED, next_attempt_at=database_now(USING))
    record.write([ended(claimed(aged(message, queued=9, due=8)), *[later] * number)], USING)
    again = Verdict(state=State.QUEUED, next_attempt_at=database_now(USING), counts=False)
    record.write([ended(claimed(message), *[again] * number)], USING)
    assert counted() == {"wait": {10: number}}
    record.write([ended(claimed(message), *[FAILED] * number)], USING)
    assert counted() == {"wait": {10: number, 1: number}, "failed": {10: number}}


def test_a_scheduled_message_counts_from_its_time_and_a_retry_not_at_all() -> None:
    sender = account()
    scheduled, retried = queue_many(sender, 2)
    aged(scheduled, queued=9_000, due=4)
    Message.objects.filter(pk=scheduled.pk).update(send_at=database_now(USING) - 100 * SECOND)
    record.write([ended(claimed(scheduled))], USING)
    assert counted() == {"wait": {5: 1}, "sent": {120: 1}}
    retried.recipients.update(attempts_at_retry=1)
    record.write([ended(claimed(aged(retried, queued=9_000, due=4)))], USING)
    assert counted() == {"wait": {5: 2}, "sent": {120: 1}}


def test_rows_do_not_grow_with_messages() -> None:
    sender, worker = account(), a_worker()
    queue_many(sender, 40)
    Message.objects.update(queued_at=database_now(USING) - 3 * SECOND)
    Recipient.objects.update(next_attempt_at=database_now(USING) - 3 * SECOND)
    for _ in range(4):
        record.write([ended(job) for job in claim_due(sender, worker, limit=10)], USING)
    assert DeliveryTime.objects.count() <= 4  # two kinds; a slow run may fill a second bucket
    with CaptureQueriesContext(connection) as queries:
        operations.delivery_times()
    assert len(queries) == 1
    assert "outbox_attempt" not in queries[0]["sql"]


def test_the_rows_of_ended_workers_are_merged_and_the_sums_stay() -> None:
    running, gone, deleted = a_worker(), a_worker(), 10_000
    Worker.objects.filter(pk=gone.pk).update(ended_at=database_now(USING), swept_at=F("started_at"))
    for worker_key in (running.pk, gone.pk, deleted):
        add_times([Measured(worker_key, TimeKind.WAIT, 1_500)] * 2, USING)
        add_times([Measured(worker_key, TimeKind.SENT, 10**9)], USING)
    before = operations.delivery_times()
    assert old_counts.merge_times(USING) == 4
    assert old_counts.merge_times(USING) == 0
    assert operations.delivery_times() == before
    keys = DeliveryTime.objects.values_list("worker_key", flat=True).distinct()
    assert set(keys) == {0, running.pk}


def test_a_bound_is_part_of_its_bucket_in_both_statements() -> None:
    assert [bucket_of(ms) for ms in (0, 1_000, 1_001, 432_000_000, 432_000_001)] == [
        0,
        0,
        1,
        13,
        14,
    ]
    sender = account()
    jobs = []
    for ms in (1_000, 1_001):
        job = claimed(queue(sender))
        job.recipients[0].waited_ms = ms
        jobs.append(ended(job))
    record.write(jobs, USING)
    assert counted()["wait"] == {1: 1, 2: 1}
