"""A claim takes due recipients, urgent ones first, senders alternately, and no claimed ones."""

import datetime as dt
import threading
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from outbox import api
from outbox.db.packing import unpack
from outbox.delivery import due
from outbox.delivery.claimed import ClaimedJobs
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job
from outbox.models import Account, Attempt, Folder, Message, Outcome, Recipient, State, Status
from tests.integration.delivery.mail_client import (
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
from tests.integration.delivery.test_rows_in_hand import in_context
from tests.states import set_state

pytestmark = pytest.mark.django_db


def addresses(jobs: Sequence[Job]) -> list[str]:
    return [recipient.address for job in jobs for recipient in job.recipients]


@pytest.mark.system
def test_only_the_last_signature_of_a_message_is_read() -> None:
    """A message with many recipients has thousands of attempts, and each has its signature."""
    sender = account()
    messages = queue_many(sender, 3)
    Recipient.objects.update(attempts=1)
    now = timezone.now()
    first, second, _unsigned = messages
    Attempt.objects.bulk_create(
        Attempt(message=message, started_at=now, signature=f"{number:09}" * 10_000)
        for message in (first, second)
        for number in range(30)
    )
    Attempt.objects.bulk_create(
        [
            Attempt(message=first, started_at=now),
            Attempt(message=second, started_at=now, outcome=Outcome.UNCERTAIN),
        ]
    )
    tracemalloc.start()
    try:
        jobs = {job.message_id: job for job in claim_due(sender)}
        _size, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [jobs[one.pk].signature[:9] for one in messages] == ["000000029", "000000029", ""]
    resent = Attempt.objects.filter(is_resend=True).values_list("message_id", flat=True)
    assert list(resent) == [second.pk]
    assert most < 2_000_000


def person(name: str) -> User:
    return User.objects.create_user(name)


def test_a_claim_records_worker_message_and_token() -> None:
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


def test_the_first_claim_of_a_scheduled_message_removes_it_from_its_folder() -> None:
    message = queue(account(), send_at=timezone.now() + dt.timedelta(hours=1))
    assert message.status == Status.SCHEDULED
    Recipient.objects.update(next_attempt_at=timezone.now())
    Message.objects.update(send_at=timezone.now())
    assert claim_due(message.account)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.QUEUED, Folder.OUTBOX)


def test_a_claimed_recipient_is_not_claimed_again() -> None:
    queue_many(account(), 3)
    sender = Account.objects.get()
    assert len(claim_due(sender)) == 3
    assert claim_due(sender) == []


@pytest.mark.parametrize("state", [state for state in State if state not in {"queued", "deferred"}])
def test_only_waiting_recipients_are_claimed(state: State) -> None:
    message = queue(account())
    set_state(Recipient.objects, state)
    assert claim_due(message.account) == []
    assert states() == [state]


def test_only_due_recipients_are_claimed() -> None:
    sender = account()
    now = timezone.now()
    queue(sender, "later@example.net", send_at=now + dt.timedelta(hours=1))
    waits = queue(sender, "waits@example.net")
    set_state(
        Recipient.objects.filter(message=waits),
        State.DEFERRED,
        next_attempt_at=now + dt.timedelta(seconds=30),
    )
    back = queue(sender, "back@example.net")
    set_state(
        Recipient.objects.filter(message=back),
        State.DEFERRED,
        next_attempt_at=now - dt.timedelta(seconds=30),
    )
    assert addresses(claim_due(sender)) == ["back@example.net"]
    earliest = due.waiting(USING)
    assert list(earliest) == [destination(sender).pk]
    assert now < earliest[destination(sender).pk] <= now + dt.timedelta(seconds=31)


def test_the_most_urgent_is_claimed_first() -> None:
    sender = account()
    for priority in ("bulk", "normal", "urgent"):
        queue(sender, f"{priority}@example.net", priority=priority)

    claimed = addresses(claim_due(sender, limit=3))

    assert claimed == ["urgent@example.net", "normal@example.net", "bulk@example.net"]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_urgent_messages_leave_a_share_of_small_claims(limit: int) -> None:
    """A test of a server claims one recipient, and a low rate limit allows a few."""
    sender = account()
    queue_many(sender, 60, priority="urgent")
    queue_many(sender, 60, priority="normal")
    worker = a_worker()
    for _ in range(60 // limit):
        assert len(claim_due(sender, worker, limit=limit)) == limit
    claimed = Recipient.objects.filter(state=State.SENDING).values_list("priority", flat=True)
    assert set(claimed) == {1, 3}  # the chance that a single one is urgent 60 times is 0.00000003


def test_a_small_claim_takes_urgent_messages_if_there_are_no_others() -> None:
    sender = account()
    queue_many(sender, 30, priority="urgent")
    queue(sender, priority="normal")
    tomorrow = timezone.now() + dt.timedelta(days=1)
    Recipient.objects.filter(priority=3).update(next_attempt_at=tomorrow)
    worker = a_worker()
    assert all(claim_due(sender, worker, limit=1) for _ in range(30))


def test_urgent_messages_leave_a_share_to_the_others() -> None:
    """Otherwise a stream of urgent messages would block all others for ever."""
    sender = account()
    queue_many(sender, 30, priority="urgent")
    queue_many(sender, 30, priority="normal")
    taken = [
        Recipient.objects.get(pk=recipient.id).priority
        for job in claim_due(sender, limit=20)
        for recipient in job.recipients
    ]
    assert Counter(taken) == {1: 15, 3: 5}


def test_senders_are_served_alternately() -> None:
    """Protocol item 112: ten thousand messages of one sender do not delay another's single one."""
    sender = account()
    ann, ben = person("ann"), person("ben")
    queue_many(sender, 50, owner=ann)
    queue(sender, "single@example.net", owner=ben)
    jobs = claim_due(sender, limit=6)
    assert Counter(job.sender_key for job in jobs) == {ann.pk: 5, ben.pk: 1}


@pytest.mark.parametrize("limit", [2, 3, 12, 40])
def test_many_senders_fill_a_claim(limit: int) -> None:
    """Less urgent messages that are not due yet have no share."""
    shared = account()
    for key in range(1, 61):
        Recipient.objects.filter(message=queue(shared, priority="urgent")).update(sender_key=key)
    tomorrow = timezone.now() + dt.timedelta(days=1)
    queue(shared, "tomorrow@example.net", send_at=tomorrow, priority="bulk")
    assert len(claim_due(shared, limit=limit)) == limit


@pytest.mark.django_db(transaction=True)
def test_claims_go_on_until_all_senders_were_served() -> None:
    """A claim serves fifty senders, so that it may find less than is due."""
    shared = account()
    for key in range(1, 121):
        Recipient.objects.filter(message=queue(shared)).update(sender_key=key)
    where = destination(shared)

    async def claim_three_times(context: DeliveryContext) -> list[tuple[int, bool]]:
        found = []
        for _ in range(3):
            claimed = ClaimedJobs(context)
            await claimed.fill(where, 100)
            found.append((len(claimed), claimed.is_exhausted))
        return found

    assert in_context(claim_three_times) == [(50, False), (50, False), (20, True)]


def test_a_claim_continues_after_the_sender_served_last_among_many() -> None:
    """A claim serves fifty senders."""
    shared = account()
    for key in range(1, 61):
        Recipient.objects.filter(message=queue(shared)).update(sender_key=key)
    for after, expected in (
        (0, range(1, 51)),
        (30, [*range(31, 61), *range(1, 21)]),
        (60, range(1, 51)),
    ):
        due_now = due.DueAt(destination(shared).pk, timezone.now(), USING)
        with transaction.atomic():
            found = due_now.lock(100, after)
        first = dict.fromkeys(row.sender_key for row in found)
        assert list(first) == list(expected)


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
def test_an_unused_share_goes_to_the_others(idle: str) -> None:
    """Otherwise one message scheduled for tomorrow would halve the speed of all others."""
    sender = account()
    ann, ben = person("ann"), person("ben")
    queue_many(sender, 10, owner=ann, priority="urgent")
    tomorrow = timezone.now() + dt.timedelta(days=1)
    fields = {"owner": ben} if idle == "another sender" else {"owner": ann, "priority": "bulk"}
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


def test_a_large_source_is_not_read_with_the_claim(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 100}
    message = queue(account())
    [job] = claim_due(message.account)
    assert (job.source, job.sha256) == (None, message.source.sha256)


def test_a_claim_is_for_one_destination() -> None:
    here, there = account(25), account(26)
    queue(here, "here@example.net")
    queue(there, "there@example.net")
    assert addresses(claim_due(here)) == ["here@example.net"]
    assert addresses(claim_due(there)) == ["there@example.net"]


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_rows_locked_by_another_claim_are_skipped() -> None:
    """Protocol item 98, with both claims in progress at the same time."""
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
def test_two_concurrent_claims_never_share_a_row() -> None:
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
