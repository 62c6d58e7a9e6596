"""Server replies are judged and kept for each recipient."""

import datetime as dt

import pytest
from django.conf import LazySettings
from django.utils import timezone

from outbox.models import Circuit, Outcome, State, Status
from outbox.reasons import ReasonCode
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
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


def test_a_message_arrives_byte_for_byte(fault_lab: StartLab) -> None:
    """Protocol items 20 and 68."""
    lab = fault_lab("at dot: 250 2.0.0 Ok: queued as 4F2C1")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    [taken] = lab.ledger.accepted
    assert taken.source == message.source.read()
    assert (taken.sender, taken.recipients) == ("alice@example.org", [BOB, EVE])
    assert lab.ledger.violations == []
    message.refresh_from_db()
    assert message.status == Status.SENT
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.SENT, 1)
    assert (recipient.reply_code, recipient.reply_enhanced) == (250, "2.0.0")
    assert (recipient.reply_command, recipient.remote_queue_id) == ("DOT", "4F2C1")
    assert recipient.final_at is not None
    attempt = last_attempt(message)
    assert (attempt.outcome, attempt.number_in_session) == (Outcome.SENT, 1)
    assert attempt.dot_marked_at is not None
    assert attempt.ended_at is not None
    assert attempt.dot_marked_at <= attempt.ended_at


def test_one_rejected_recipient_does_not_affect_the_others(fault_lab: StartLab) -> None:
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


def test_a_transient_rejection_is_deferred(fault_lab: StartLab) -> None:
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
    assert str(waiting.reason) == "451 4.7.1 greylisted, try again in 2 hours"


def test_a_rejected_sender_fails_every_recipient(fault_lab: StartLab) -> None:
    """Protocol item 58."""
    lab = fault_lab("at mail: 550 5.7.1 not from you")
    message = queue(account_at(lab), BOB, EVE)
    deliver()
    assert states(message) == [State.FAILED, State.FAILED]
    assert row(message, EVE).reply_command == "MAIL"
    assert lab.ledger.transactions == [] or not lab.ledger.accepted


def test_too_many_recipients_use_further_transactions(fault_lab: StartLab) -> None:
    """Protocol item 56: no failure, no attempt counted."""
    lab = fault_lab("too-many-recipients")
    addresses = [f"bob{i}@example.net" for i in range(5)]
    message = queue(account_at(lab), *addresses)
    deliver()
    assert states(message) == [State.SENT] * 5
    assert {recipient.attempts for recipient in message.recipients.all()} == {1}
    assert sorted(name for taken in lab.ledger.accepted for name in taken.recipients) == addresses
    assert len(lab.ledger.accepted) > 1


def test_421_defers_recipients_without_a_reply(fault_lab: StartLab) -> None:
    """Protocol item 89."""
    lab = fault_lab("at data: 421 4.3.2 going down")
    message = queue(account_at(lab), BOB)
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.DEFERRED, 1)
    assert (recipient.reply_code, recipient.reply_command) == (421, "")
    assert not lab.ledger.accepted


def test_a_server_with_one_message_per_connection_gets_one_connection_each(
    fault_lab: StartLab,
) -> None:
    """Protocol item 90: the 421 after each costs no attempt."""
    lab = fault_lab("one-message-each")
    messages = queue_many(account_at(lab, max_connections=1), 5)
    deliver()
    assert states() == [State.SENT] * 5
    assert {row.attempts for message in messages for row in message.recipients.all()} == {1}
    assert len(lab.ledger.accepted) == 5


def test_a_connection_cut_before_the_final_dot_is_certain(fault_lab: StartLab) -> None:
    """Protocol item 71, with a body too large to be sent in one piece with its end."""
    lab = fault_lab("at body 1000: close")
    large = b"From: alice@example.org\r\n\r\n" + b"0123456789abcdef\r\n" * 450_000
    message = queue(account_at(lab), source=large)
    deliver()
    assert states(message) == [State.DEFERRED]
    assert not lab.ledger.accepted


def test_a_connection_cut_after_the_final_dot_is_uncertain(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """Protocol item 96."""
    settings.OUTBOX = settings.OUTBOX | {"DOT_TIMEOUT": 0.5}
    lab = fault_lab("at dot: no-reply")
    message = queue(account_at(lab))
    deliver()
    recipient = row(message)
    assert (recipient.state, recipient.next_attempt_at) == (State.UNCERTAIN, None)
    assert recipient.reason.code == ReasonCode.REPLY_LOST
    assert len(lab.ledger.accepted) == 1
    message.refresh_from_db()
    assert message.status == Status.UNCERTAIN


def test_a_login_required_at_mail_defers_and_notifies_a_person(fault_lab: StartLab) -> None:
    """Protocol item 44: no attempt is counted for what the account lacks."""
    lab = fault_lab("at mail: 530 5.7.0 Authentication required")
    sender = account_at(lab, max_connections=1)
    messages = queue_many(sender, 4)
    deliver()
    for message in messages:
        [recipient] = message.recipients.all()
        assert recipient.attempts == 0
        assert recipient.state in {State.DEFERRED, State.QUEUED}
    where = destination(sender)
    assert (where.circuit, where.circuit_needs_person) == (Circuit.OPEN, True)
    assert len(lab.ledger.sessions) == 1


def _rejections(count: int, *, lines: int, length: int) -> str:
    """Return a scenario that rejects each RCPT with a long reply of its own."""
    return "\n".join(
        f"at rcpt <r{number}@example.net>: 451 4.3.0 {number} " + r"\n".join(["x" * length] * lines)
        for number in range(count)
    )


@pytest.mark.parametrize("lines", [2, 100])
def test_long_replies_are_kept_in_a_bounded_number_of_bytes(
    fault_lab: StartLab, lines: int
) -> None:
    """A server that replies with 200 KB to each recipient must not fill memory and database."""
    lab = fault_lab(_rejections(20, lines=lines, length=2_000))
    message = queue(account_at(lab), *(f"r{number}@example.net" for number in range(20)))
    deliver()
    attempt = message.attempts.order_by("id")[0]  # a claim may have taken some of them
    assert attempt.outcome == Outcome.DEFERRED
    assert len(attempt.transfer) <= 70_000
    assert len(attempt.results) <= 20 * 4_500
    for number, recipient in enumerate(message.recipients.order_by("id")):
        assert recipient.reply_text.startswith(f"4.3.0 {number} xxx")
        assert len(recipient.reply_text) <= 4_200
        assert len(recipient.reason.dump()) <= 600


def test_one_reply_to_many_recipients_is_stored_once(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: 451 4.3.0 " + r"\n".join(["x" * 1_000] * 3))
    message = queue(account_at(lab), *(f"r{number}@example.net" for number in range(20)))
    deliver()
    attempt = message.attempts.order_by("id")[0]  # a claim may have taken some of them
    rows = attempt.result_rows
    assert len(rows) > 5
    assert len(attempt.results) < 3_100 + len(rows) * 200
    assert {row["text"] for row in rows} == {message.recipients.all()[0].reply_text}
