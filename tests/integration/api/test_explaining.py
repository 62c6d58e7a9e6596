"""Why is this mail where it is? Every rule that can hold it has its sentence and its end."""

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
from tests.integration.api.conftest import Queue

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
    """Put its recipients there and roll the status up."""
    Recipient.objects.filter(message=message).update(state=state, **values)
    roll_up([message.pk], timezone.now(), "default")
    return Message.objects.get(pk=message.pk)


def said(message: Message) -> str:
    return api.explain(message).sentence


def test_it_waits_for_a_worker_that_lives(queue: Queue, worker: Worker) -> None:
    assert "a worker sends it next" in said(queue())


def test_it_says_so_when_no_worker_runs(queue: Queue) -> None:
    assert "No worker is running" in said(queue())


def test_scheduled_mail_names_its_time(queue: Queue, worker: Worker) -> None:
    moment = timezone.now() + dt.timedelta(days=1)
    told = api.explain(queue(send_at=moment))
    assert "Scheduled" in told.sentence
    assert told.until == moment


def test_deferred_mail_names_the_answer_and_the_next_try(queue: Queue, worker: Worker) -> None:
    moment = timezone.now() + dt.timedelta(minutes=4)
    message = in_state(
        queue(),
        State.DEFERRED,
        attempts=2,
        reason="451 4.7.1 greylisted",
        next_attempt_at=moment,
    )
    told = api.explain(message)
    assert "2 attempts" in told.sentence
    assert "451 4.7.1 greylisted" in told.sentence
    assert told.until == moment
    assert told.gives_up_at == message.expires_at


@pytest.mark.parametrize("needs_person", [True, False])
def test_an_open_circuit_is_named_with_its_reason(
    queue: Queue, worker: Worker, needs_person: bool
) -> None:
    message = queue()
    until = timezone.now() + dt.timedelta(minutes=5)
    Destination.objects.update(
        circuit=Circuit.OPEN,
        circuit_reason="the server refused the login",
        circuit_until=until,
        circuit_needs_person=needs_person,
    )
    told = api.explain(message)
    assert "the server refused the login" in told.sentence
    assert ("somebody has to act" in told.sentence) == needs_person
    assert told.until == until


def test_a_probe_under_way_is_named(queue: Queue, worker: Worker) -> None:
    message = queue()
    Destination.objects.update(
        circuit=Circuit.HALF_OPEN, circuit_until=timezone.now() + dt.timedelta(minutes=5)
    )
    assert "One mail is being tried" in said(message)


def test_mail_without_an_account_says_what_to_do(queue: Queue, worker: Worker) -> None:
    message = queue()
    Account.objects.all().delete()
    message.refresh_from_db()
    assert "account was deleted" in said(message)


def test_mail_that_is_being_sent_names_its_worker(queue: Queue, worker: Worker) -> None:
    message = queue()
    attempt = Attempt.objects.create(message=message, worker=worker, started_at=timezone.now())
    assert "here/7" in said(in_state(message, State.SENDING, attempt=attempt))


def test_uncertain_mail_says_whether_it_goes_again(queue: Queue) -> None:
    moment = timezone.now() + dt.timedelta(hours=4)
    by_policy = in_state(queue(), State.UNCERTAIN, next_attempt_at=None, resend_at=moment)
    by_person = in_state(queue(), State.UNCERTAIN, next_attempt_at=None)
    told = api.explain(by_policy)
    assert "a second copy is possible" in told.sentence
    assert told.until == moment
    told = api.explain(by_person)
    assert "waits for a person" in told.sentence
    assert told.until is None


def test_held_mail_says_why(queue: Queue) -> None:
    message = in_state(queue(), State.HELD, reason="Its account was deleted.")
    assert "Its account was deleted." in said(message)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.SENT, "Accepted by the server"),
        (State.FAILED, "Refused: 550 5.1.1 no such user."),
        (State.EXPIRED, "Expired: 550 5.1.1 no such user."),
        (State.BOUNCED, "Bounced: 550 5.1.1 no such user."),
        (State.CANCELLED, "Cancelled before anything was sent"),
    ],
)
def test_a_final_state_is_named(queue: Queue, state: State, word: str) -> None:
    reply = {"reply_code": 550, "reply_text": "5.1.1 no such user"}
    assert word in said(in_state(queue(), state, **reply))


def test_a_mail_partly_sent_counts_both(queue: Queue) -> None:
    message = queue("a@example.net", "b@example.net", "c@example.net", state=State.SENT)
    Recipient.objects.filter(address="c@example.net").update(
        state=State.FAILED, reason="the server does not offer SMTPUTF8"
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    assert said(message) == "2 of 3 delivered. 1 refused: the server does not offer SMTPUTF8."


def test_a_refusal_leads_while_another_recipient_is_deferred(queue: Queue, worker: Worker) -> None:
    addresses = [f"{name}@example.net" for name in "abcd"]
    message = queue(*addresses, state=State.SENT)
    recipients = Recipient.objects.filter(message=message)
    recipients.filter(address="c@example.net").update(
        state=State.FAILED, reply_code=550, reply_text="5.1.1 no such user\nask them"
    )
    moment = timezone.now() + dt.timedelta(minutes=1, seconds=10)
    recipients.filter(address="d@example.net").update(
        state=State.DEFERRED, attempts=1, reason="451 4.7.1 greylisted", next_attempt_at=moment
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    told = api.explain(message)
    assert told.sentence == (
        "2 of 4 delivered. 1 refused: 550 5.1.1 no such user. 1 waiting, next attempt in 1 minute."
    )
    assert told.until == moment


def test_a_refusal_leads_while_the_others_wait_for_the_server(queue: Queue, worker: Worker) -> None:
    message = queue("a@example.net", "b@example.net")
    Recipient.objects.filter(address="a@example.net").update(state=State.FAILED, reply_code=550)
    Destination.objects.update(
        circuit=Circuit.OPEN,
        circuit_reason="the server refused the login",
        circuit_until=timezone.now() + dt.timedelta(minutes=5),
    )
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    sentence = said(message)
    assert sentence.startswith("0 of 2 delivered. 1 refused: 550. ")
    assert "the server refused the login" in sentence


def test_different_refusals_are_counted_together(queue: Queue) -> None:
    message = queue("a@example.net", "b@example.net", state=State.FAILED)
    for address, code in (("a@example.net", 550), ("b@example.net", 554)):
        Recipient.objects.filter(address=address).update(reply_code=code, reply_text="no")
    roll_up([message.pk], timezone.now(), "default")
    message.refresh_from_db()
    assert said(message) == "0 of 2 delivered. 2 refused, one of them: 550 no."


def test_a_mail_that_was_retried_is_given_up_later(queue: Queue, worker: Worker) -> None:
    """Its first life is over: what counts is how long the recipient may wait now."""
    message = queue()
    past = timezone.now() - dt.timedelta(days=1)
    Message.objects.update(expires_at=past, queued_at=past - dt.timedelta(days=5))
    message = in_state(message, State.EXPIRED, expires_at=past)
    api.retry(message)
    message.refresh_from_db()
    gives_up_at = api.explain(message).gives_up_at
    assert gives_up_at is not None
    assert gives_up_at > timezone.now()
