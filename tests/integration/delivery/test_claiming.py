"""A claim takes what is due, most urgent first, senders in turn, and never what another holds."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from outbox import api
from outbox.delivery import due
from outbox.delivery.job import Job
from outbox.models import Account, Attempt, Folder, Message, Recipient, State, Status
from outbox.models.packing import unpack
from tests.integration.delivery.desk import (
    USING,
    a_worker,
    account,
    claim_due,
    destination,
    is_sqlite,
    queue,
    queue_many,
    states,
)

pytestmark = pytest.mark.django_db


def addresses(jobs: Sequence[Job]) -> list[str]:
    return [recipient.address for job in jobs for recipient in job.recipients]


def person(name: str) -> User:
    return User.objects.create_user(name)


def test_a_claim_writes_down_who_sends_what_under_which_token() -> None:
    message = queue(account(), "bob@example.net", "eve@example.net")
    worker = a_worker()
    [job] = claim_due(message.account, worker)
    attempt = Attempt.objects.get()
    assert (job.attempt_id, job.message_id) == (attempt.pk, message.pk)
    assert (attempt.worker_id, attempt.ended_at, attempt.dot_marked_at) == (worker.pk, None, None)
    assert job.source is not None
    assert (job.envelope_sender, unpack(job.source)) == (
        "alice@example.org",
        message.source.read(),
    )
    assert job.sha256 == message.source.sha256
    for recipient in message.recipients.all():
        assert (recipient.state, recipient.attempt_id) == (State.SENDING, attempt.pk)
        assert recipient.first_attempt_at == recipient.last_attempt_at == attempt.started_at
        assert recipient.attempts == 0  # counted when it is known what became of it
    message.refresh_from_db()
    assert message.status == Status.QUEUED  # it is not written for the moment that a delivery takes
    assert api.Handle(message.pk).status() == Status.SENDING


def test_the_first_claim_of_a_scheduled_message_takes_it_out_of_its_folder() -> None:
    message = queue(account(), send_at=timezone.now() + dt.timedelta(hours=1))
    assert message.status == Status.SCHEDULED
    Recipient.objects.update(next_attempt_at=timezone.now())
    Message.objects.update(send_at=timezone.now())
    assert claim_due(message.account)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.QUEUED, Folder.OUTBOX)


def test_what_is_claimed_is_not_claimed_again() -> None:
    queue_many(account(), 3)
    sender = Account.objects.get()
    assert len(claim_due(sender)) == 3
    assert claim_due(sender) == []


@pytest.mark.parametrize("state", [state for state in State if state not in {"queued", "deferred"}])
def test_only_what_waits_is_claimed(state: State) -> None:
    message = queue(account())
    Recipient.objects.update(state=state)
    assert claim_due(message.account) == []
    assert states() == [state]


def test_only_what_is_due_is_claimed() -> None:
    sender = account()
    now = timezone.now()
    queue(sender, "later@example.net", send_at=now + dt.timedelta(hours=1))
    waits = queue(sender, "waits@example.net")
    Recipient.objects.filter(message=waits).update(
        state=State.DEFERRED, next_attempt_at=now + dt.timedelta(seconds=30)
    )
    back = queue(sender, "back@example.net")
    Recipient.objects.filter(message=back).update(
        state=State.DEFERRED, next_attempt_at=now - dt.timedelta(seconds=30)
    )
    assert addresses(claim_due(sender)) == ["back@example.net"]
    earliest = due.waiting(USING)
    assert list(earliest) == [destination(sender).pk]
    assert now < earliest[destination(sender).pk] <= now + dt.timedelta(seconds=31)


def test_the_most_urgent_goes_first() -> None:
    """X-Priority: 1 is the highest."""
    sender = account()
    for priority in (5, 3, 1, 2, 4):
        queue(sender, f"p{priority}@example.net", priority=priority)
    assert addresses(claim_due(sender, limit=5)) == [f"p{n}@example.net" for n in range(1, 6)]


def test_the_urgent_leave_a_share_to_the_others() -> None:
    """Or a stream of urgent mail would hold up all else for ever."""
    sender = account()
    queue_many(sender, 30, priority=1)
    queue_many(sender, 30, priority=3)
    taken = [
        Recipient.objects.get(pk=recipient.id).priority
        for job in claim_due(sender, limit=20)
        for recipient in job.recipients
    ]
    assert Counter(taken) == {1: 15, 3: 5}


def test_senders_take_turns() -> None:
    """Protocol item 112: ten thousand mails of one are no queue for another's single one."""
    sender = account()
    ann, ben = person("ann"), person("ben")
    queue_many(sender, 50, owner=ann)
    queue(sender, "single@example.net", owner=ben)
    jobs = claim_due(sender, limit=6)
    assert Counter(job.sender_key for job in jobs) == {ann.pk: 5, ben.pk: 1}


def test_the_sender_served_last_is_last_in_the_next_claim() -> None:
    sender = account()
    people = [person(name) for name in ("ann", "ben", "cid")]
    for owner in people:
        queue_many(sender, 4, owner=owner)
    served, after = [], 0
    for _ in range(6):
        [job] = claim_due(sender, limit=1, after=after)
        after = job.sender_key
        served.append(after)
    assert served == [owner.pk for owner in people] * 2


@pytest.mark.parametrize("idle", ["another sender", "another urgency"])
def test_a_share_that_nobody_can_use_goes_to_those_who_can(idle: str) -> None:
    """Or one mail that waits for tomorrow would halve the speed of all others today."""
    sender = account()
    ann, ben = person("ann"), person("ben")
    queue_many(sender, 10, owner=ann, priority=1)
    tomorrow = timezone.now() + dt.timedelta(days=1)
    fields = {"owner": ben} if idle == "another sender" else {"owner": ann, "priority": 5}
    queue(sender, "tomorrow@example.net", send_at=tomorrow, **fields)
    jobs = claim_due(sender, limit=6)
    taken = addresses(jobs)
    assert len(taken) == len(set(taken)) == 6


def test_no_transaction_has_more_recipients_than_allowed(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"RECIPIENTS_PER_TRANSACTION": 3}
    message = queue(account(), *(f"bob{i}@example.net" for i in range(8)))
    jobs = claim_due(message.account)
    assert [len(job.recipients) for job in jobs] == [3, 3, 2]
    assert len({job.attempt_id for job in jobs}) == 3


def test_a_large_source_is_not_read_before_its_turn(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 100}
    message = queue(account())
    [job] = claim_due(message.account)
    assert (job.source, job.sha256) == (None, message.source.sha256)


def test_destinations_are_claimed_apart() -> None:
    here, there = account(25), account(26)
    queue(here, "here@example.net")
    queue(there, "there@example.net")
    assert addresses(claim_due(here)) == ["here@example.net"]
    assert addresses(claim_due(there)) == ["there@example.net"]


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_rows_another_claim_holds_are_skipped_not_waited_for() -> None:
    """Protocol item 98, where both claims are under way at the same moment."""
    if is_sqlite():
        pytest.skip("SQLite has one writer at a time: there is nothing to skip")
    sender = account()
    queue_many(sender, 6)
    worker = a_worker()
    got: list[str] = []

    def other() -> None:
        try:
            got.extend(addresses(claim_due(sender, worker, limit=6)))
        finally:
            connection.close()

    with transaction.atomic():
        held = Recipient.objects.order_by("pk")[:3].select_for_update()
        mine = {recipient.address for recipient in held}
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), "it waited for the lock"
    assert len(got) == 3
    assert not mine & set(got)


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_two_claims_side_by_side_never_share_a_row() -> None:
    """Protocol item 98."""
    sender = account()
    queue_many(sender, 120)
    workers = [a_worker() for _ in range(4)]
    start = threading.Barrier(4)
    taken: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        try:
            start.wait(10)
            while jobs := claim_due(sender, workers[number], limit=7):
                with lock:
                    taken.extend(recipient.id for job in jobs for recipient in job.recipients)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == sorted(Recipient.objects.values_list("pk", flat=True))
    for recipient in Recipient.objects.select_related("attempt"):
        assert recipient.attempt is not None
        assert recipient.attempt.message_id == recipient.message_id
