"""explain(): each rule that can delay a message has its sentence, and the time at which it ends."""

import datetime as dt

import pytest
from django.utils import timezone

from outbox import api
from outbox.models import (
    Account,
    Attempt,
    Circuit,
    Destination,
    Message,
    Recipient,
    State,
    Worker,
)
from outbox.models.rollup import roll_up
from outbox.reasons import Reason, ReasonCode
from tests.integration.api.conftest import Queue
from tests.states import set_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def worker(db: None) -> Worker:
    """One that lives."""
    now = timezone.now()
    lease = now + dt.timedelta(minutes=5)
    return Worker.objects.create(
        host="here", pid=7, started_at=now, heartbeat_at=now, lease_until=lease
    )


def in_state(message: Message, state: State, **values: object) -> Message:
    """Set the state of its recipients and roll the status up."""
    set_state(Recipient.objects.filter(message=message), state, **values)
    roll_up([message.pk], timezone.now(), "default")
    return Message.objects.get(pk=message.pk)


def said(message: Message) -> str:
    return api.explain(message).sentence


def test_it_waits_for_a_worker_that_lives(queue: Queue, worker: Worker) -> None:
    assert "A worker will send it next." in said(queue())


def test_it_says_so_when_no_worker_runs(queue: Queue) -> None:
    assert "No worker is running" in said(queue())


def test_scheduled_mail_names_its_time(queue: Queue, worker: Worker) -> None:
    moment = timezone.now() + dt.timedelta(days=1)
    explanation = api.explain(queue(send_at=moment))
    assert "Scheduled" in explanation.sentence
    assert explanation.until == moment


def test_a_deferred_message_names_the_reply_and_the_next_attempt(
    queue: Queue, worker: Worker
) -> None:
    moment = timezone.now() + dt.timedelta(minutes=4)
    message = in_state(
        queue(),
        State.DEFERRED,
        attempts=2,
        reason=Reason(ReasonCode.SERVER_REPLY, reply="451 4.7.1 greylisted"),
        next_attempt_at=moment,
    )
    explanation = api.explain(message)
    assert "2 attempts" in explanation.sentence
    assert "451 4.7.1 greylisted" in explanation.sentence
    assert explanation.until == moment
    assert explanation.expires_at == message.expires_at


@pytest.mark.parametrize("needs_person", [True, False])
def test_an_open_circuit_is_named_with_its_reason(
    queue: Queue, worker: Worker, needs_person: bool
) -> None:
    message = queue()
    until = timezone.now() + dt.timedelta(minutes=5)
    Destination.objects.update(
        circuit=Circuit.OPEN,
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED),
        circuit_until=until,
        circuit_needs_person=needs_person,
    )
    explanation = api.explain(message)
    assert "The server rejected the login." in explanation.sentence
    assert ("needs attention" in explanation.sentence) == needs_person
    assert explanation.until == until


def test_a_probe_under_way_is_named(queue: Queue, worker: Worker) -> None:
    message = queue()
    Destination.objects.update(
        circuit=Circuit.HALF_OPEN, circuit_until=timezone.now() + dt.timedelta(minutes=5)
    )
    assert "One message tests whether" in said(message)


def test_mail_without_an_account_says_what_to_do(queue: Queue, worker: Worker) -> None:
    message = queue()
    Account.objects.all().delete()
    message.refresh_from_db()
    assert "account was deleted" in said(message)


def test_mail_that_is_being_sent_names_no_worker(queue: Queue, worker: Worker) -> None:
    message = queue()
    attempt = Attempt.objects.create(message=message, worker=worker, started_at=timezone.now())
    assert said(in_state(message, State.SENDING, attempt=attempt)) == "Sending now."


def test_uncertain_mail_says_whether_it_goes_again(queue: Queue) -> None:
    moment = timezone.now() + dt.timedelta(hours=4)
    by_policy = in_state(queue(), State.UNCERTAIN, next_attempt_at=None, resend_at=moment)
    by_person = in_state(queue(), State.UNCERTAIN, next_attempt_at=None)
    explanation = api.explain(by_policy)
    assert "Unless you mark it as sent, delivery is retried." in explanation.sentence
    assert explanation.until == moment
    explanation = api.explain(by_person)
    assert "Mark it as sent, or retry delivery." in explanation.sentence
    assert explanation.until is None


def test_held_mail_says_why(queue: Queue) -> None:
    message = in_state(queue(), State.HELD, reason=Reason(ReasonCode.ACCOUNT_DELETED))
    assert "The account was deleted." in said(message)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.SENT, "Accepted by the server"),
        (State.FAILED, "Failed: 550 5.1.1 no such user."),
        (State.EXPIRED, "Expired: 550 5.1.1 no such user."),
        (State.BOUNCED, "Bounced: 550 5.1.1 no such user."),
        (State.CANCELLED, "Cancelled before anything was sent"),
    ],
)
def test_a_final_state_is_named(queue: Queue, state: State, word: str) -> None:
    reply = {"reply_code": 550, "reply_text": "5.1.1 no such user"}
    assert word in said(in_state(queue(), state, **reply))


def test_a_partly_sent_message_counts_both(queue: Queue) -> None:
    message = queue("a@example.net", "b@example.net", "c@example.net", state=State.SENT)
    set_state(
        Recipient.objects.filter(address="c@example.net"),
        State.FAILED,
        reason="the server does not offer SMTPUTF8",
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    assert said(message) == "2 of 3 sent. 1 failed: the server does not offer SMTPUTF8."


def test_a_refusal_leads_while_another_recipient_is_deferred(queue: Queue, worker: Worker) -> None:
    addresses = [f"{name}@example.net" for name in "abcd"]
    message = queue(*addresses, state=State.SENT)
    recipients = Recipient.objects.filter(message=message)
    set_state(
        recipients.filter(address="c@example.net"),
        State.FAILED,
        reply_code=550,
        reply_text="5.1.1 no such user\nask them",
    )
    moment = timezone.now() + dt.timedelta(minutes=1, seconds=10)
    set_state(
        recipients.filter(address="d@example.net"),
        State.DEFERRED,
        attempts=1,
        reason=Reason(ReasonCode.SERVER_REPLY, reply="451 4.7.1 greylisted"),
        next_attempt_at=moment,
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    explanation = api.explain(message)
    assert explanation.sentence == ("2 of 4 sent. 1 failed: 550 5.1.1 no such user. 1 waiting.")
    assert explanation.until == moment


def test_a_refusal_leads_while_the_others_wait_for_the_server(queue: Queue, worker: Worker) -> None:
    message = queue("a@example.net", "b@example.net")
    set_state(Recipient.objects.filter(address="a@example.net"), State.FAILED, reply_code=550)
    Destination.objects.update(
        circuit=Circuit.OPEN,
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED),
        circuit_until=timezone.now() + dt.timedelta(minutes=5),
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    sentence = said(message)
    assert sentence.startswith("0 of 2 sent. 1 failed: 550. ")
    assert "The server rejected the login." in sentence


def test_different_refusals_are_counted_together(queue: Queue) -> None:
    message = queue("a@example.net", "b@example.net", state=State.FAILED)
    for address, code in (("a@example.net", 550), ("b@example.net", 554)):
        Recipient.objects.filter(address=address).update(reply_code=code, reply_text="no")
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    assert said(message) == "0 of 2 sent. 2 failed, one of them: 550 no."


def test_a_retried_message_expires_later(queue: Queue, worker: Worker) -> None:
    """Its first life is over: what counts is how long the recipient may wait now."""
    message = queue()
    past = timezone.now() - dt.timedelta(days=1)
    Message.objects.update(expires_at=past, queued_at=past - dt.timedelta(days=5))
    message = in_state(message, State.EXPIRED, expires_at=past)
    api.retry(message)
    message.refresh_from_db()
    expires_at = api.explain(message).expires_at
    assert expires_at is not None
    assert expires_at > timezone.now()
