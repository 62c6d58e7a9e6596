"""The sweep finds the claims of dead workers, expired recipients and uncertain ones to resend."""

import datetime as dt
import threading

import pytest
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from outbox.db.clock import database_now
from outbox.delivery import record
from outbox.delivery import sweep as sweeping
from outbox.delivery.job import Mark
from outbox.delivery.sweep import Swept, sweep
from outbox.models import (
    Account,
    Attempt,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    Slot,
    State,
    Status,
    Worker,
)
from outbox.reasons import ReasonCode
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    claimed_by_dead_worker,
    destination,
    end_lease,
    is_sqlite,
    last_attempt,
    queue,
    queue_many,
    refusing,
    row,
    states,
    until,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db


def events() -> list[tuple[str, str, str]]:
    return list(Event.objects.values_list("kind", "from_state", "to_state"))


def make_expired(message: Message) -> Message:
    """Change the times of a message as if it had waited for too long."""
    past = timezone.now() - dt.timedelta(seconds=1)
    Recipient.objects.filter(message=message).update(expires_at=past)
    return message


def test_an_unmarked_attempt_of_a_dead_worker_is_certainly_unsent() -> None:
    """Protocol item 97."""
    message = queue(account())
    claimed_by_dead_worker(message)
    assert sweep(USING) == Swept(lost=1)
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 1)
    assert recipient.next_attempt_at is not None
    assert recipient.next_attempt_at <= timezone.now()
    assert last_attempt(message).outcome == Outcome.ABANDONED
    assert events() == [(EventKind.LOST_WORKER, State.SENDING, State.DEFERRED)]
    message.refresh_from_db()
    assert message.status == Status.DEFERRED


def test_a_marked_attempt_of_a_dead_worker_is_uncertain() -> None:
    message = queue(account())
    job = claimed_by_dead_worker(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    sweep(USING)
    recipient = row(message)
    assert (recipient.state, recipient.next_at) == (State.UNCERTAIN, None)
    assert last_attempt(message).outcome == Outcome.UNCERTAIN
    assert events() == [(EventKind.LOST_WORKER, State.SENDING, State.UNCERTAIN)]


@pytest.mark.parametrize(
    ("on_account", "on_message", "resent"),
    [
        ("hold", "", False),
        ("resend", "", True),
        ("hold", "resend", True),
        ("resend", "hold", False),
    ],
)
def test_the_message_s_policy_overrides_the_account_s(
    on_account: str, on_message: str, resent: bool
) -> None:
    sender = account(on_uncertain=on_account, resend_after=dt.timedelta(hours=1))
    message = queue(sender, on_uncertain=on_message)
    job = claimed_by_dead_worker(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    before = timezone.now()
    sweep(USING)
    moment = row(message).resend_at
    assert (moment is not None) == resent
    if moment is not None:
        asked_at = moment - dt.timedelta(hours=1)
        assert before - dt.timedelta(seconds=1) < asked_at < timezone.now()


def test_an_interval_beyond_the_calendar_does_not_stop_the_sweep() -> None:
    sender = account(on_uncertain="resend", resend_after=dt.timedelta(days=100_000_000))
    messages = queue_many(sender, 2)
    for message in messages:
        record.write([Mark(attempt_id=claimed_by_dead_worker(message).attempt_id)], USING)
    sweep(USING)
    assert states() == [State.UNCERTAIN] * 2


def test_an_uncertain_recipient_is_resent_by_policy() -> None:
    due, later, held = queue_many(account(), 3)
    now = timezone.now()
    for message, moment in ((due, now), (later, now + dt.timedelta(hours=1)), (held, None)):
        set_state(
            Recipient.objects.filter(message=message),
            State.UNCERTAIN,
            next_attempt_at=None,
            resend_at=moment,
        )
    assert sweep(USING) == Swept(resent=1)
    assert states() == [State.DEFERRED, State.UNCERTAIN, State.UNCERTAIN]
    assert events() == [(EventKind.RESENT, State.UNCERTAIN, State.DEFERRED)]
    assert row(due, "bob0@example.net").reason.code == ReasonCode.RESENT_BY_POLICY


def test_a_recipient_that_waited_too_long_expires_with_its_last_reply() -> None:
    """Protocol item 105."""
    old, young, held = queue_many(account(), 3)
    past = timezone.now() - dt.timedelta(seconds=1)
    Recipient.objects.filter(message__in=[old, held]).update(
        expires_at=past, reply_code=451, reply_text="4.7.1 greylisted"
    )
    set_state(Recipient.objects.filter(message=old), State.DEFERRED)
    set_state(Recipient.objects.filter(message=held), State.HELD)  # a person decides of these
    assert sweep(USING) == Swept(expired=1)
    assert states() == [State.EXPIRED, State.QUEUED, State.HELD]
    recipient = old.recipients.get()
    assert (recipient.reply_code, recipient.reply_text) == (451, "4.7.1 greylisted")
    assert recipient.final_at is not None
    assert (recipient.ended_as, recipient.next_attempt_at) == (State.EXPIRED, None)
    old.refresh_from_db()
    assert old.status == Status.FAILED
    assert young.recipients.get().final_at is None


def test_messages_of_a_deleted_account_are_held_not_lost() -> None:
    message = queue(account())
    Account.objects.all().delete()
    assert sweep(USING) == Swept(held=1)
    assert states(message) == [State.HELD]
    assert row(message).reason.code == ReasonCode.ACCOUNT_DELETED


def test_a_dead_worker_s_connections_are_released() -> None:
    sender = account()
    dead, living = a_worker(lease_duration=-1), a_worker()
    where = destination(sender)
    for number, worker in ((1, dead), (2, living)):
        Slot.objects.create(destination=where, number=number, worker=worker)
    sweep(USING)
    assert list(Slot.objects.values_list("number", flat=True)) == [2]
    assert list(Worker.objects.filter(ended_at=None)) == [living]


def test_a_connection_that_a_late_worker_took_is_released() -> None:
    """It hung, was ended, and then continued."""
    late = a_worker(lease_duration=-1)
    sweep(USING)
    Slot.objects.create(destination=destination(account()), number=1, worker=late)
    sweep(USING)
    assert not Slot.objects.exists()


def test_a_live_worker_keeps_its_claims() -> None:
    message = queue(account())
    claimed(message)
    assert sweep(USING) == Swept()
    assert states(message) == [State.SENDING]


def test_the_claims_of_an_ended_worker_are_found_too() -> None:
    """It stopped too quickly to return its jobs."""
    message = queue(account())
    worker = a_worker()
    claimed(message, worker)
    Worker.objects.update(ended_at=timezone.now())
    sweep(USING)
    assert states(message) == [State.DEFERRED]


def test_a_worker_cannot_be_deleted_before_it_was_swept() -> None:
    message = queue(account())
    worker = a_worker()
    claimed(message, worker)
    with pytest.raises(ProtectedError), transaction.atomic():
        Worker.objects.all().delete()
    end_lease(worker)
    sweep(USING)
    assert states(message) == [State.DEFERRED]
    Worker.objects.all().delete()
    assert not Worker.objects.exists()


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_worker_is_not_ended_while_its_claim_is_being_committed() -> None:
    """Otherwise its claim would be searched for before it is visible, and never again."""
    if is_sqlite():
        pytest.skip("SQLite has one writer at a time")
    message = queue(account())
    worker = a_worker(lease_duration=3)

    def other() -> None:
        try:
            sweep(USING)
        finally:
            connection.close()

    with transaction.atomic():
        [job] = claim_due(message.account, worker)
        until(lambda: database_now(USING) > worker.lease_until, "its lease has ended")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "the sweep waited for the claim"
        assert Worker.objects.get(pk=worker.pk).ended_at is None
    sweep(USING)
    assert states(message) == [State.DEFERRED]
    assert Attempt.objects.get(pk=job.attempt_id).outcome == Outcome.ABANDONED


def test_a_second_sweep_finds_nothing_to_do() -> None:
    """Protocol item 99: further sweeps change nothing."""
    message = queue(account())
    claimed_by_dead_worker(message)
    sweep(USING)
    before = list(Recipient.objects.values())
    assert sweep(USING) == Swept()
    assert list(Recipient.objects.values()) == before


def test_each_transaction_is_limited_and_everything_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "_AT_ONCE", 3)
    messages = queue_many(account(), 10)
    Recipient.objects.filter(message__in=messages[:7]).update(
        expires_at=timezone.now() - dt.timedelta(days=1)
    )
    taken = []
    count = sweeping.expire(USING)
    while count:
        taken.append(count)
        count = sweeping.expire(USING)
    assert taken == [3, 3, 1]
    worker = a_worker()
    claim_due(messages[0].account, worker)
    end_lease(worker)
    assert sweep(USING).lost == 3


def test_a_row_that_cannot_be_changed_blocks_no_other() -> None:
    sender = account()
    messages = [queue(sender, f"bob{i}@example.net") for i in range(3)]
    make_expired(queue(sender, "old@example.net"))
    for message in messages:
        claimed_by_dead_worker(message)
    with refusing("outbox_recipient", "NEW.address = 'bob1@example.net'"):
        sweep(USING)
        assert states() == [State.DEFERRED, State.SENDING, State.DEFERRED, State.EXPIRED]
    sweep(USING)
    assert states()[1] == State.DEFERRED


def test_a_step_that_fails_stops_no_other_step() -> None:
    sender = account()
    old = make_expired(queue(sender, "old@example.net"))
    uncertain = queue(sender, "uncertain@example.net")
    set_state(
        Recipient.objects.filter(message=uncertain),
        State.UNCERTAIN,
        next_attempt_at=None,
        resend_at=timezone.now(),
    )
    with refusing("outbox_recipient", "NEW.address = 'old@example.net'"):
        sweep(USING)
    assert (states(old), states(uncertain)) == ([State.QUEUED], [State.DEFERRED])
