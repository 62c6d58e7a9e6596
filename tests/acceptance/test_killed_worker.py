"""A worker killed during an SMTP transaction: nothing is lost, nothing is silently duplicated."""

import datetime as dt

import pytest
from django.contrib.auth.models import User

from mailsite.celery import app
from outbox import api
from outbox.models import Account, Attempt, Event, EventKind, Message, Outcome, Recipient, State
from outbox.testing.faultlab import FaultLab
from outbox.testing.mailserver import MailServer
from tests.acceptance.conftest import account_on, until
from tests.conftest import StartWorker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
SHORT_LEASE = {"OUTBOX_LEASE_DURATION": "3", "OUTBOX_HEARTBEAT_INTERVAL": "1"}


def test_a_message_of_a_worker_killed_before_the_final_dot_is_sent_once(
    start_worker: StartWorker, ann: User
) -> None:
    with FaultLab("on connection 1: at data: black-hole") as lab:
        account = account_on(lab.port, ann)
        worker = start_worker("first", **SHORT_LEASE)
        message = _send(account, ann, "bob@example.org")
        until(
            lambda: _state() == State.SENDING and "DATA" in lab.ledger.commands,
            "the transaction to hang",
        )

        worker.kill()
        _sweep_with(start_worker)
        until(lambda: _state() == State.SENT, "the delivery after the lease")

        assert len(lab.ledger.accepted) == 1, "the message arrived more than once"
    assert _events(message) == [EventKind.LOST_WORKER]
    assert _first_change(message) == (State.SENDING, State.DEFERRED)


def test_a_message_of_a_worker_killed_after_the_final_dot_is_resent_only_from_uncertain(
    start_worker: StartWorker, account: Account, ann: User, mail_server: MailServer
) -> None:
    account.resend_after = dt.timedelta(seconds=4)
    account.save()
    worker = start_worker("first", **SHORT_LEASE)
    message = _send(account, ann, "slow@example.org")  # the reply takes ten seconds
    until(lambda: Attempt.objects.filter(dot_marked_at__isnull=False).exists(), "the dot's mark")

    worker.kill()
    _sweep_with(start_worker)
    until(lambda: _state() == State.UNCERTAIN, "the recipient to be marked uncertain")
    assert "delivery is retried" in api.explain(Message.objects.get()).sentence

    def sent_again() -> bool:
        app.send_task("outbox.sweep", queue="outbox")
        return _state() == State.SENT

    until(sent_again, "the resend by policy")
    assert _events(message) == [EventKind.LOST_WORKER, EventKind.RESENT]
    assert [attempt.outcome for attempt in message.attempts.all()] == [
        Outcome.UNCERTAIN,
        Outcome.SENT,
    ]
    assert len(mail_server.entries()) <= 2


@pytest.mark.system
def test_the_policy_hold_leaves_an_uncertain_recipient_to_a_person(
    start_worker: StartWorker, account: Account, ann: User, mail_server: MailServer
) -> None:
    account.on_uncertain = "hold"
    account.save()
    worker = start_worker("first", **SHORT_LEASE)
    message = _send(account, ann, "slow@example.org")
    until(lambda: Attempt.objects.filter(dot_marked_at__isnull=False).exists(), "the dot's mark")
    worker.kill()
    _sweep_with(start_worker)
    until(lambda: _state() == State.UNCERTAIN, "the recipient to be marked uncertain")

    assert Recipient.objects.get().next_attempt_at is None, "no policy resends it"
    assert api.resolve_as_sent(message, actor=ann) == 1
    assert Message.objects.get().status == "sent"


def _send(account: Account, owner: User, to: str) -> Message:
    handle = api.send(account=account, owner=owner, to=to, subject="Hello", text="Hello")
    return handle.message()


def _sweep_with(start_worker: StartWorker) -> None:
    """Start another worker, whose lease a busy machine can keep, and request sweeps from it."""
    start_worker("second")
    until(_swept, "the sweep to notice the dead worker")


def _swept() -> bool:
    app.send_task("outbox.sweep", queue="outbox")
    return _state() != State.SENDING


def _state() -> str:
    return str(Recipient.objects.get().state)


def _events(message: Message) -> list[str]:
    return list(Event.objects.filter(message=message).values_list("kind", flat=True))


def _first_change(message: Message) -> tuple[str, str]:
    event = Event.objects.filter(message=message).first()
    assert event is not None
    return event.from_state, event.to_state
