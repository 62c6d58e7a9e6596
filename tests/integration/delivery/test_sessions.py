"""Sessions are reused between messages, within limits, and closed when the account changes."""

import datetime as dt
from collections import Counter

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.utils import timezone

from outbox.models import Account, Attempt, Recipient, Slot, SmtpSession, State
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    deliver,
    queue,
    queue_many,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def test_one_connection_is_used_for_several_messages(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    queue_many(account_at(lab, max_connections=1), 20)
    deliver()
    assert states() == [State.SENT] * 20
    assert len(lab.ledger.sessions) == 1
    assert "RSET" not in lab.ledger.commands  # it is for refused transactions only (item 91)
    session = SmtpSession.objects.get()
    numbers = Attempt.objects.order_by("pk").values_list("number_in_session", flat=True)
    assert list(numbers) == list(range(1, 21))
    assert [line[2] for line in session.closing_lines if line[1] == "C"] == ["QUIT"]


def test_a_rejected_transaction_is_reset_before_the_next(fault_lab: StartLab) -> None:
    """Protocol item 91."""
    lab = fault_lab("at rcpt of message 1: 550 5.1.1 no")
    queue_many(account_at(lab, max_connections=1), 3)
    deliver()
    assert Counter(states()) == {State.SENT: 2, State.FAILED: 1}
    assert len(lab.ledger.sessions) == 1
    assert lab.ledger.commands.count("RSET") == 1


def test_a_session_stays_open_for_the_next_task(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    sender = account_at(lab)
    with Working():
        until(all_in(State.SENT, [queue(sender)]), "the first message was sent")
        until(all_in(State.SENT, [queue(sender)]), "the second message was sent")
        assert [session.over for session in lab.ledger.sessions] == [False]


def test_an_idle_session_is_closed(fault_lab: StartLab, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SESSION_MAX_IDLE": 0.2}
    lab = fault_lab("")
    sender = account_at(lab)
    with Working():
        until(all_in(State.SENT, [queue(sender)]), "the first message was sent")
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        until(lambda: not Slot.objects.exists(), "its slot was released")
        until(all_in(State.SENT, [queue(sender)]), "the second message was sent")
        assert len(lab.ledger.sessions) == 2


@pytest.mark.parametrize("goes_by", ["SESSION_MAX_MESSAGES", "SESSION_MAX_AGE"])
def test_a_session_has_a_maximum_number_of_messages_and_a_maximum_age(
    fault_lab: StartLab, settings: LazySettings, goes_by: str
) -> None:
    """Protocol item 94."""
    settings.OUTBOX = settings.OUTBOX | {goes_by: 3 if goes_by.endswith("MESSAGES") else 0}
    lab = fault_lab("")
    queue_many(account_at(lab, max_connections=1), 6)
    deliver()
    assert states() == [State.SENT] * 6
    most = [len(session.transactions) for session in lab.ledger.sessions]
    assert most == ([3, 3] if goes_by.endswith("MESSAGES") else [1] * 6)


@pytest.mark.parametrize("ending", ["421 4.4.2 idle too long", "close", "reset"])
def test_a_server_that_closes_an_idle_session_costs_no_attempt(
    fault_lab: StartLab, ending: str
) -> None:
    """Protocol item 90."""
    lab = fault_lab(f"at idle of message 1: late 0.05 {ending}")
    sender = account_at(lab, max_connections=1)
    with Working():
        until(all_in(State.SENT, [queue(sender)]), "the first message was sent")
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        until(all_in(State.SENT, [queue(sender)]), "the second message was sent")
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}
    assert len(lab.ledger.sessions) == 2


def test_an_edited_account_is_used_from_the_next_message_on(fault_lab: StartLab) -> None:
    """Also while a session with the old settings is open."""
    old, new = fault_lab(""), fault_lab("")
    sender = account_at(old, max_connections=1)
    with Working():
        until(all_in(State.SENT, [queue(sender)]), "the first message was sent")
        Account.objects.update(port=new.port)
        sender.refresh_from_db()
        until(all_in(State.SENT, [queue(sender)]), "the second message was sent")
    assert (len(old.ledger.accepted), len(new.ledger.accepted)) == (1, 1)


def test_two_workers_keep_the_connection_limit_together(fault_lab: StartLab) -> None:
    """Protocol item 108, counted at the server."""
    lab = fault_lab("at dot: late 0.02")
    sender = account_at(lab, max_connections=3)
    messages = queue_many(sender, 120)
    with Working(), Working():
        until(all_in(State.SENT, messages), "all messages were sent")
    assert 1 < lab.ledger.peak <= 3
    assert len(lab.ledger.accepted) == 120
    assert not Slot.objects.exists()


def test_two_workers_deliver_each_message_once(fault_lab: StartLab) -> None:
    """Protocol item 98."""
    lab = fault_lab("")
    messages = queue_many(account_at(lab), 200)
    with Working(), Working():
        until(all_in(State.SENT, messages), "all messages were sent")
    ids = Counter(taken.message_id for taken in lab.ledger.accepted)
    assert set(ids.values()) == {1}
    assert len(ids) == 200


def test_two_workers_keep_a_rate_limit_together(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    """Protocol item 110."""
    settings.OUTBOX = settings.OUTBOX | {"SESSION_MAX_IDLE": 0.2}
    lab = fault_lab("")
    sender = account_at(lab, per_minute=7)
    queue_many(sender, 20)
    with Working(), Working():
        lab.ledger.wait_for(lambda ledger: len(ledger.accepted) == 7)
        until(lambda: states().count(State.SENT) == 7, "seven were recorded")
        polls = SmtpSession.objects.count()
        until(lambda: not Slot.objects.exists(), "the connections were closed")
    assert len(lab.ledger.accepted) == 7
    assert Counter(states()) == {State.SENT: 7, State.QUEUED: 13}
    assert SmtpSession.objects.count() == polls


def test_one_sender_s_thousands_hardly_delay_another_s_single_message(fault_lab: StartLab) -> None:
    """Protocol item 112: a bound in messages, which does not depend on the machine."""
    lab = fault_lab("at dot: late 0.002")
    sender = account_at(lab, max_connections=2)
    ann, ben = (User.objects.create_user(name) for name in ("ann", "ben"))
    queue_many(sender, 1_000, owner=ann)
    with Working():
        lab.ledger.wait_for(lambda ledger: len(ledger.accepted) >= 50)
        single = queue(sender, "single@example.net", owner=ben)
        before = len(lab.ledger.accepted)
        lab.ledger.wait_for(
            lambda ledger: any("single@example.net" in t.recipients for t in ledger.accepted)
        )
        names = [taken.recipients[0] for taken in lab.ledger.accepted]
        until(all_in(State.SENT, [single]), "the single message was recorded")
    assert names.index("single@example.net") - before < 60


def test_an_urgent_message_overtakes_a_thousand_ordinary_ones(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: late 0.002")
    sender = account_at(lab, max_connections=2)
    queue_many(sender, 1_000)
    with Working():
        lab.ledger.wait_for(lambda ledger: len(ledger.accepted) >= 50)
        queue(sender, "urgent@example.net", priority="urgent")
        before = len(lab.ledger.accepted)
        lab.ledger.wait_for(
            lambda ledger: any("urgent@example.net" in t.recipients for t in ledger.accepted)
        )
        names = [taken.recipients[0] for taken in lab.ledger.accepted]
    assert names.index("urgent@example.net") - before < 60


def test_a_scheduled_message_is_sent_at_its_time_and_not_earlier(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    sender = account_at(lab)
    moment = timezone.now() + dt.timedelta(seconds=1)
    message = queue(sender, send_at=moment)
    with Working():
        until(all_in(State.SENT, [queue(sender, "now@example.net")]), "the other message was sent")
        until(all_in(State.SENT, [message]), "it was sent")
    attempt = Attempt.objects.get(message=message)
    assert attempt.started_at >= moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_few_sessions_are_opened_at_once(fault_lab: StartLab) -> None:
    """A burst of hundreds of handshakes would delay every other account."""
    lab = fault_lab("on connection 8+: at greeting: late 60\nat dot: late 60")
    queue_many(account_at(lab, max_connections=60), 100)
    with Working():
        until(lambda: len(lab.ledger.sessions) == 27, "20 sessions are being opened")
        other = queue_many(account_at(fault_lab("")), 3)
        until(all_in(State.SENT, other), "another account's messages were sent")
        assert len(lab.ledger.sessions) == 27
        lab.skip_delays()
        until(lambda: states().count(State.SENT) == 103, "all were sent")
