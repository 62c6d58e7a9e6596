"""An action on many messages is fixed when it is counted, confirmed once, and survives a worker."""

import datetime as dt
import threading

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from outbox.api import bulk_actions
from outbox.api.bulk_actions import worker
from outbox.api.message_actions import MESSAGE_ACTIONS, MessageAction
from outbox.models import (
    BulkOperation,
    Event,
    EventKind,
    Message,
    Recipient,
    State,
    Status,
)
from tests.integration.api.conftest import Queue
from tests.states import set_state

pytestmark = pytest.mark.django_db

USING = "default"


def proposed(action: MessageAction, actor: User, *messages: Message) -> BulkOperation:
    ids = [message.pk for message in messages]
    return bulk_actions.propose(action, message_ids=ids, actor=actor, using=USING)


def confirmed(action: MessageAction, actor: User, *messages: Message) -> BulkOperation:
    operation = proposed(action, actor, *messages)
    assert bulk_actions.confirm(operation, why="for a reason", using=USING)
    return operation


def statuses(*messages: Message) -> list[str]:
    found = Message.objects.in_bulk([message.pk for message in messages])
    return [found[message.pk].status for message in messages]


def test_nothing_happens_unconfirmed(ann: User, queue: Queue) -> None:
    message = queue()
    proposed(MESSAGE_ACTIONS["cancel"], ann, message)
    bulk_actions.run_bulk_operations(USING)
    assert statuses(message) == [Status.QUEUED]


def test_an_unconfirmed_operation_is_forgotten_after_a_day(ann: User, queue: Queue) -> None:
    operation = proposed(MESSAGE_ACTIONS["cancel"], ann, queue())
    old = timezone.now() - dt.timedelta(hours=25)
    BulkOperation.objects.filter(pk=operation.pk).update(created_at=old)
    bulk_actions.run_bulk_operations(USING)
    assert not BulkOperation.objects.exists()


def test_it_is_confirmed_once(ann: User, queue: Queue) -> None:
    operation = confirmed(MESSAGE_ACTIONS["cancel"], ann, queue())
    assert not bulk_actions.confirm(operation, why="again", using=USING)


def test_it_counts_what_it_did(ann: User, queue: Queue) -> None:
    failed = queue("a@example.net", "b@example.net", state=State.FAILED)
    sent, gone = queue(state=State.SENT), queue(state=State.FAILED)
    operation = confirmed(MESSAGE_ACTIONS["retry"], ann, failed, sent, gone)
    gone_id = gone.pk
    Message.objects.filter(pk=gone.pk).delete()
    bulk_actions.run_bulk_operations(USING)
    operation.refresh_from_db()
    assert operation.finished_at is not None
    assert (operation.count, operation.done_count) == (2, 1)  # nothing of one can be retried
    assert (operation.changed_count, operation.skipped_count) == (2, 1)
    assert (operation.skips, operation.examples) == ({"gone": 1}, [[gone_id, "gone"]])
    events = Event.objects.filter(kind=EventKind.RETRIED)
    assert set(events.values_list("actor", "why")) == {(ann.pk, "for a reason")}


def test_another_worker_goes_on_where_a_dead_one_stopped(
    ann: User, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "AT_ONCE", 2)
    messages = [queue(f"a{number}@example.net") for number in range(5)]
    operation = confirmed(MESSAGE_ACTIONS["cancel"], ann, *messages)
    dying = worker.claim(USING)
    assert dying is not None
    assert worker._process_batch(dying, [message.pk for message in messages[:2]], USING)
    bulk_actions.run_bulk_operations(USING)
    assert statuses(*messages)[2:] == [Status.QUEUED] * 3  # its lease has not ended
    end_leases()
    bulk_actions.run_bulk_operations(USING)
    assert statuses(*messages) == [Status.CANCELLED] * 5
    operation.refresh_from_db()
    assert (operation.done_count, operation.last_id) == (5, messages[-1].pk)


def end_leases() -> None:
    BulkOperation.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))


def test_a_worker_that_lost_the_lease_changes_nothing(ann: User, queue: Queue) -> None:
    messages = [queue(f"a{number}@example.net") for number in range(3)]
    confirmed(MESSAGE_ACTIONS["cancel"], ann, *messages)
    silent = worker.claim(USING)
    assert silent is not None
    end_leases()
    worker.perform(silent, USING)
    assert statuses(*messages) == [Status.QUEUED] * 3
    assert BulkOperation.objects.get().finished_at is None


def test_a_preview_counts_states_and_names_the_first_who_were_refused(queue: Queue) -> None:
    message = queue(*(f"a{number}@example.net" for number in range(30)), state=State.FAILED)
    Recipient.objects.update(reply_code=550, reply_text="5.1.1 no such user")
    set_state(Recipient.objects.filter(address="a29@example.net"), State.CANCELLED)
    other = queue("late@example.net", state=State.DEFERRED)
    found = bulk_actions.preview([message.pk, other.pk], MESSAGE_ACTIONS["retry"], USING)
    assert found.sentence == "2 messages, 30 recipients: 1 deferred, 29 failed."
    assert found.rejected[0] == ("a0@example.net", "550 5.1.1 no such user")
    assert (len(found.rejected), found.rejected_unnamed) == (20, 9)


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_no_operation(ann: User, queue: Queue) -> None:
    messages = [queue(f"a{number}@example.net", state=State.FAILED) for number in range(30)]
    operation = confirmed(MESSAGE_ACTIONS["retry"], ann, *messages)
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait(30)
        try:
            bulk_actions.run_bulk_operations(USING)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    operation.refresh_from_db()
    assert (operation.done_count, operation.skipped_count) == (30, 0)
    assert Event.objects.filter(kind=EventKind.RETRIED).count() == 30
