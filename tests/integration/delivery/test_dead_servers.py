"""A server that is unreachable or rejects every session delays only its own messages."""

import datetime as dt
import socket
import threading
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.db.clock import database_now
from outbox.models import Attempt, Circuit, Destination, Recipient, Source, State
from outbox.reasons import Reason, ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    deliver,
    destination,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def end_pauses() -> None:
    """Make due what waits for a destination, and end the pauses of circuits."""
    past = timezone.now() - dt.timedelta(seconds=1)
    Recipient.objects.filter(state=State.DEFERRED).update(next_attempt_at=past)
    Destination.objects.exclude(circuit_until=None).update(circuit_until=past)


@pytest.mark.parametrize(
    ("scenario", "circuit", "needs_person", "words"),
    [
        pytest.param("at connect: refuse", Circuit.CLOSED, False, "is listening", id="refused"),
        pytest.param(
            "at greeting: black-hole", Circuit.CLOSED, False, "longer than", id="no greeting"
        ),
        pytest.param("at greeting: close", Circuit.CLOSED, False, "closed", id="closed"),
        pytest.param("at greeting: garbage", Circuit.CLOSED, False, "not an SMTP", id="no SMTP"),
        pytest.param("at greeting: 421 4.3.2 x", Circuit.CLOSED, False, "", id="item 23"),
        pytest.param(
            "at greeting: 554 5.3.2 x", Circuit.OPEN, False, "accepts no messages", id="item 22"
        ),
        pytest.param("at ehlo: 550 5.7.1 x", Circuit.OPEN, False, "EHLO", id="EHLO refused"),
    ],
)
def test_its_messages_wait_and_no_attempt_is_counted(
    fault_lab: StartLab,
    settings: LazySettings,
    scenario: str,
    circuit: Circuit,
    needs_person: bool,
    words: str,
) -> None:
    if "black-hole" in scenario:
        settings.OUTBOX = settings.OUTBOX | {"GREETING_TIMEOUT": 0.5}
    sender = account_at(fault_lab(scenario))
    message = queue(sender)
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 0)
    assert recipient.next_attempt_at is not None
    assert recipient.next_attempt_at > timezone.now()
    assert words in str(recipient.reason)
    where = destination(sender)
    assert (where.circuit, where.circuit_needs_person) == (circuit, needs_person)
    assert where.circuit_reason.code == recipient.reason.code
    assert recipient.reply_text in str(where.circuit_reason)
    session = last_attempt(message).session
    assert session is not None
    assert session.ended_at is not None
    assert any(recipient.reason == Reason.load(text) for _, _, text in session.opening_lines)


def test_a_rejected_login_opens_the_circuit_and_notifies_a_person(fault_lab: StartLab) -> None:
    """Protocol item 43."""
    sender = account_at(fault_lab("wrong-password"), username="ann")
    sender.secret = "never in a transcript"
    sender.save()
    messages = queue_many(sender, 3)
    deliver()
    where = destination(sender)
    assert (where.circuit, where.circuit_needs_person) == (Circuit.OPEN, True)
    assert set(states()) <= {State.DEFERRED, State.QUEUED}
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {0}
    explanation = api.explain(messages[0])
    assert "needs attention" in explanation.sentence
    assert explanation.until == where.circuit_until
    session = Attempt.objects.filter(session__isnull=False).latest("pk").session
    assert session is not None
    assert "never in" not in session.opening


def test_a_password_that_no_key_decrypts_opens_the_circuit(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    sender = account_at(lab, username="ann", secret_encrypted="of another key")
    message = queue(sender)
    deliver()
    assert states(message) == [State.DEFERRED]
    assert row(message).reason.code == ReasonCode.SECRET_UNREADABLE
    assert destination(sender).circuit_needs_person
    assert lab.ledger.sessions == []


@pytest.mark.parametrize(
    "settings_keys", [[], ["no Fernet key"]], ids=["no key", "a key that is none"]
)
def test_missing_or_wrong_keys_only_defer_messages(
    fault_lab: StartLab, settings: LazySettings, settings_keys: list[str]
) -> None:
    sender = account_at(fault_lab(""), username="ann", secret_encrypted="gAAAAAB")
    settings.OUTBOX = settings.OUTBOX | {"SECRET_KEYS": settings_keys}
    message = queue(sender)
    deliver()
    assert (row(message).state, row(message).attempts) == (State.DEFERRED, 0)


def test_impossible_settings_of_an_account_only_defer_messages(
    fault_lab: StartLab,
) -> None:
    sender = account_at(fault_lab(""), security="quantum")
    message = queue(sender)
    deliver()
    assert (row(message).state, row(message).attempts) == (State.DEFERRED, 0)
    assert "quantum" in str(row(message).reason)


def test_a_name_that_does_not_resolve_opens_the_circuit(fault_lab: StartLab) -> None:
    sender = account_at(fault_lab(""), host="nowhere.invalid")
    message = queue(sender)
    deliver()
    assert (row(message).state, row(message).attempts) == (State.DEFERRED, 0)


def test_a_dead_server_costs_one_attempt_at_a_time(fault_lab: StartLab) -> None:
    """Protocol item 107: a hundred messages do not open a hundred connections."""
    lab = fault_lab("at greeting: 554 5.3.2 no service")
    queue_many(account_at(lab), 40)
    deliver()
    assert len(lab.ledger.sessions) == 1
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {0}


def test_one_probe_is_followed_by_all_when_it_succeeds(fault_lab: StartLab) -> None:
    """Protocol item 107."""
    lab = fault_lab("at greeting: 554 5.3.2 no service")
    sender = account_at(lab)
    queue_many(sender, 10)
    deliver()
    assert destination(sender).circuit == Circuit.OPEN
    lab.play("at greeting: 554 5.3.2 still no service")
    end_pauses()
    deliver()
    assert len(lab.ledger.sessions) == 2
    assert destination(sender).circuit_trips == 2
    lab.play("")
    end_pauses()
    deliver()
    assert states() == [State.SENT] * 10
    assert destination(sender).circuit == Circuit.CLOSED
    assert len(lab.ledger.accepted) == 10


def test_a_probe_that_sends_nothing_does_not_close_the_circuit(fault_lab: StartLab) -> None:
    """Its source is gone, which says nothing about the server. The next message is the probe."""
    lab = fault_lab("at greeting: 554 5.3.2 no service")
    sender = account_at(lab)
    broken = queue(sender)
    deliver()
    lab.play("")
    Source.objects.filter(message=broken).delete()
    end_pauses()
    deliver()
    assert states(broken) == [State.HELD]
    assert destination(sender).circuit == Circuit.OPEN
    message = queue(sender)
    deliver()
    assert states(message) == [State.SENT]
    assert destination(sender).circuit == Circuit.CLOSED


@pytest.mark.parametrize("fault", ["close", "421 4.3.2 later then close"])
def test_a_probe_that_is_lost_before_mail_does_not_close_the_circuit(
    fault_lab: StartLab, fault: str
) -> None:
    """Protocol item 107: it succeeds with the end of its first transaction."""
    lab = fault_lab("at greeting: 554 5.3.2 no service")
    sender = account_at(lab)
    queue_many(sender, 5)
    deliver()
    lab.play(f"at mail: {fault}")
    end_pauses()
    deliver()
    where = destination(sender)
    assert (where.circuit, where.circuit_trips) == (Circuit.OPEN, 2)
    assert len(lab.ledger.sessions) == 2
    assert not lab.ledger.accepted
    lab.play("")
    end_pauses()
    deliver()
    assert states() == [State.SENT] * 5
    assert destination(sender).circuit == Circuit.CLOSED


def test_a_server_that_ends_each_session_before_mail_opens_the_circuit(
    fault_lab: StartLab,
) -> None:
    lab = fault_lab("at mail: close")
    sender = account_at(lab)
    queue_many(sender, 10)
    deliver()
    assert destination(sender).circuit == Circuit.OPEN
    assert len(lab.ledger.sessions) < 10
    assert sorted({one.attempts for one in Recipient.objects.all()}) == [0, 1]


@pytest.mark.parametrize("offer", ["", "offer PIPELINING, SIZE"])
def test_one_message_does_not_open_the_circuit(
    fault_lab: StartLab, settings: LazySettings, offer: str
) -> None:
    """Protocol item 107: neither by its retries, nor by its recipients."""
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_THRESHOLD": 2}
    lab = fault_lab(f"{offer}\nat mail: reset")
    sender = account_at(lab)
    several = queue(sender, *(f"{number}@example.net" for number in range(4)))
    one = queue(sender)
    for _ in range(3):
        deliver()
        end_pauses()
    where = destination(sender)
    assert (where.circuit, where.circuit_faults) == (Circuit.CLOSED, 1)
    assert row(one).attempts == 3
    lab.play("")
    deliver()
    assert states(several) == [State.SENT] * 4


def test_a_421_to_mail_does_not_open_the_circuit(fault_lab: StartLab) -> None:
    """It may be about one sender (protocol item 107)."""
    lab = fault_lab("at mail: 421 4.7.0 Too much from this sender then close")
    sender = account_at(lab)
    queue_many(sender, 5)
    deliver()
    where = destination(sender)
    assert (where.circuit, where.circuit_faults) == (Circuit.CLOSED, 0)
    assert {one.attempts for one in Recipient.objects.all()} == {1}


def test_each_probe_is_of_another_sender(fault_lab: StartLab, settings: LazySettings) -> None:
    """One sender that the server rejects does not hold back the others."""
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_PAUSE_INITIAL": 0.1, "CIRCUIT_PAUSE_MAX": 0.2}
    lab = fault_lab("at mail: 421 4.7.0 Too much from this sender then close")
    sender = account_at(lab)
    rejected, other = (User.objects.create(username=name) for name in ("rejected", "other"))
    queue_many(sender, 20, owner=rejected)
    Destination.objects.update(circuit=Circuit.OPEN, circuit_until=database_now())
    last = queue(sender, owner=other)
    with Working():
        until(lambda: row(last).attempts > 0, "the other sender's message was a probe")
    tried = Recipient.objects.filter(message__owner=rejected, attempts__gt=0).count()
    assert tried <= 1


def test_recipients_that_were_claimed_and_not_begun_are_not_counted(fault_lab: StartLab) -> None:
    lab = fault_lab("at greeting: 554 5.3.2 no service")
    sender = account_at(lab, per_minute=6, per_day=100)
    queue_many(sender, 6)
    deliver()
    where = destination(sender)
    assert len(lab.ledger.sessions) == 1
    assert (where.minute_count, where.day_count) == (1, 1)


def test_a_server_that_comes_back_is_found_automatically(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_PAUSE_INITIAL": 0.1, "CIRCUIT_PAUSE_MAX": 0.2}
    lab = fault_lab("at connect: refuse")
    sender = account_at(lab)
    messages = queue_many(sender, 5)
    with Working():
        until(lambda: destination(sender).circuit_trips >= 2, "the circuit opened twice")
        lab.play("")
        until(all_in(State.SENT, messages), "all messages were sent")
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}


def test_two_black_holes_do_not_slow_a_third_server(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """Protocol item 106. The benchmark checks the required nine tenths. This test only checks that
    the messages of other servers do not wait for the black holes, which hang for a minute.
    """
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0}
    holes = [fault_lab("at greeting: black-hole") for _ in range(2)]
    for hole in holes:
        queue_many(account_at(hole), 20)
    with Working():
        for hole in holes:
            hole.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        messages = queue_many(account_at(fault_lab("")), 150)
        until(all_in(State.SENT, messages), "all messages were sent", within=50)
        assert [session.over for hole in holes for session in hole.ledger.sessions] == [False] * 2


def test_names_without_a_dns_response_stop_no_other_server(
    fault_lab: StartLab, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protocol item 106: a lookup blocks a thread until DNS responds."""
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0}
    lookup, asked, released = socket.getaddrinfo, [], threading.Event()

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        if host.endswith(".silent.example"):
            asked.append(host)
            released.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no response")
        return lookup(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    lab = fault_lab("")
    for number in range(20):
        queue(account_at(lab, host=f"mx{number}.silent.example"))
    try:
        with Working():
            until(lambda: len(set(asked)) == 20, "all names without a response were looked up")
            other = queue(account_at(lab))
            until(all_in(State.SENT, [other]), "the other one was sent")
            released.set()
    finally:
        released.set()
