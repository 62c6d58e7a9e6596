"""What servers say is judged and kept, recipient by recipient."""

import datetime as dt

import pytest
from django.conf import LazySettings
from django.utils import timezone

from outbox.models import Circuit, Outcome, State, Status
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.desk import (
    BOB,
    account_at,
    deliver,
    destination,
    last_attempt,
    queue,
    queue_many,
    row,
    states,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

EVE = "eve@example.net"


def test_a_mail_arrives_byte_for_byte(fault_lab: StartLab) -> None:
    """Protocol items 20 and 68."""
    lab = fault_lab("at dot: 250 2.0.0 Ok: queued as 4F2C1")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    [taken] = lab.ledger.accepted
    assert taken.source == message.source.read()
    assert (taken.sender, taken.recipients) == ("alice@example.org", [BOB, EVE])
    assert lab.ledger.wrongs == []
    message.refresh_from_db()
    assert message.status == Status.SENT
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.SENT, 1)
    assert (recipient.reply_code, recipient.reply_enhanced) == (250, "2.0.0")
    assert (recipient.reply_command, recipient.remote_queue_id) == ("DOT", "4F2C1")
    assert recipient.settled_at is not None
    attempt = last_attempt(message)
    assert (attempt.outcome, attempt.number_in_session) == (Outcome.SENT, 1)
    assert attempt.dot_marked_at is not None
    assert attempt.ended_at is not None
    assert attempt.dot_marked_at <= attempt.ended_at


def test_one_recipient_is_refused_and_the_others_are_served(fault_lab: StartLab) -> None:
    """Protocol items 53 and 54."""
    lab = fault_lab(f"at rcpt <{EVE}>: 550 5.1.1 no such user")
    message = queue(account_at(lab), EVE, BOB)
    deliver()
    assert states(message) == [State.FAILED, State.SENT]
    refused = row(message, EVE)
    assert (refused.reply_code, refused.reply_text) == (550, "5.1.1 no such user")
    assert refused.reply_command == "RCPT"
    message.refresh_from_db()
    assert message.status == Status.PARTIAL
    assert last_attempt(message).outcome == Outcome.PARTIAL


def test_a_transient_refusal_waits_with_its_next_try(fault_lab: StartLab) -> None:
    """Protocol item 59: that recipient alone."""
    lab = fault_lab(f"at rcpt <{EVE}>: 451 4.7.1 greylisted, try again in 2 hours")
    message = queue(account_at(lab), EVE, BOB)
    before = timezone.now()
    deliver()
    assert states(message) == [State.DEFERRED, State.SENT]
    waiting = row(message, EVE)
    assert waiting.attempts == 1
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at - before > dt.timedelta(hours=2)  # the hint, item 111
    assert waiting.reason == "451 4.7.1 greylisted, try again in 2 hours"


def test_a_refusal_of_the_sender_is_everybodys(fault_lab: StartLab) -> None:
    """Protocol item 58."""
    lab = fault_lab("at mail: 550 5.7.1 not from you")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    assert states(message) == [State.FAILED, State.FAILED]
    assert row(message, EVE).reply_command == "MAIL"
    assert lab.ledger.transactions == [] or not lab.ledger.accepted


def test_too_many_recipients_go_in_further_transactions(fault_lab: StartLab) -> None:
    """Protocol item 56: no failure, no attempt counted."""
    lab = fault_lab("too-many-recipients")
    addresses = [f"bob{i}@example.net" for i in range(5)]
    message = queue(account_at(lab), *addresses)
    deliver()
    assert states(message) == [State.SENT] * 5
    assert {recipient.attempts for recipient in message.recipients.all()} == {1}
    assert sorted(name for taken in lab.ledger.accepted for name in taken.recipients) == addresses
    assert len(lab.ledger.accepted) > 1


def test_421_defers_what_has_no_answer_and_bounces_nothing(fault_lab: StartLab) -> None:
    """Protocol item 89."""
    lab = fault_lab("at data: 421 4.3.2 going down")
    message = queue(account_at(lab), BOB)
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 1)
    assert (recipient.reply_code, recipient.reply_command) == (421, "")
    assert not lab.ledger.accepted


def test_a_server_that_takes_one_mail_a_connection_gets_one_connection_each(
    fault_lab: StartLab,
) -> None:
    """Protocol item 90: the 421 behind each costs no attempt."""
    lab = fault_lab("one-message-each")
    messages = queue_many(account_at(lab, max_connections=1), 5)
    deliver()
    assert states() == [State.SENT] * 5
    assert {row.attempts for message in messages for row in message.recipients.all()} == {1}
    assert len(lab.ledger.accepted) == 5


def test_a_connection_cut_before_the_dot_is_certain(fault_lab: StartLab) -> None:
    """Protocol item 71, with a body too large to leave in one piece with its end."""
    lab = fault_lab("at body 1000: close")
    large = b"From: alice@example.org\r\n\r\n" + b"0123456789abcdef\r\n" * 450_000
    message = queue(account_at(lab), source=large)
    deliver()
    assert states(message) == [State.DEFERRED]
    assert not lab.ledger.accepted


def test_a_connection_cut_behind_the_dot_is_uncertain(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """Protocol item 96."""
    settings.OUTBOX = settings.OUTBOX | {"DOT_TIMEOUT": 0.5}
    lab = fault_lab("at dot: never-answer")
    message = queue(account_at(lab))
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.next_attempt_at) == (State.UNCERTAIN, None)
    assert "its answer was lost" in recipient.reason
    assert len(lab.ledger.accepted) == 1
    message.refresh_from_db()
    assert message.status == Status.UNCERTAIN


def test_a_login_demanded_at_mail_keeps_the_mail_and_tells_a_person(fault_lab: StartLab) -> None:
    """Protocol item 44: no attempt is counted for what the account lacks."""
    lab = fault_lab("at mail: 530 5.7.0 Authentication required")
    sender = account_at(lab, max_connections=1)
    messages = queue_many(sender, 4)
    deliver()
    for message in messages:
        [recipient] = message.recipients.all()
        assert recipient.attempts == 0
        assert recipient.state in {State.DEFERRED, State.QUEUED}
    route = destination(sender)
    assert (route.circuit, route.circuit_needs_person) == (Circuit.OPEN, True)
    assert len(lab.ledger.sessions) == 1
