"""The database fails and comes back: results are kept, nothing is lost or sent twice."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import LazySettings
from django.db import connection

from outbox import signals
from outbox.delivery.sweep import sweep
from outbox.models import Attempt, Outcome, Recipient, Slot, SmtpSession, State
from outbox.signals import Change
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    is_sqlite,
    queue,
    queue_many,
    row,
    states,
    until,
)
from tests.integration.delivery.outage import Outage, breakable_database

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def outage() -> Iterator[Outage]:
    with breakable_database() as found:
        yield found


@pytest.fixture
def wire(outage: Outage) -> Outage:
    """An outage that can hide the success of a commit."""
    if is_sqlite():
        pytest.skip("SQLite's commit is a call, not a message that can be lost")
    return outage


def is_marked() -> bool:
    return Attempt.objects.exclude(dot_marked_at=None).exists()


def test_a_result_is_kept_until_it_can_be_written(fault_lab: StartLab, outage: Outage) -> None:
    """Protocol item 100: and the message is not sent again during the outage."""
    lab = fault_lab("at dot: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        until(is_marked, "the dot was marked")
        outage.begin()
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: bool(ledger.accepted))
        until(lambda: not working.engine.recorder.healthy, "the recorder noticed")
        assert not working.engine.may_claim
        assert states(message) == [State.SENDING]
        outage.end()
        until(all_in(State.SENT, [message]), "the result was written")
        until(lambda: working.engine.may_claim, "it works again")
    recipient = row(message)
    assert (recipient.reply_code, recipient.attempts) == (250, 1)
    assert len(lab.ledger.accepted) == 1


def test_no_final_dot_is_sent_while_it_cannot_be_marked(
    fault_lab: StartLab, outage: Outage
) -> None:
    """Protocol item 72."""
    lab = fault_lab("at data: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        outage.begin()
        lab.skip_delays()
        until(lambda: not working.engine.recorder.healthy, "the mark could not be written")
        assert not any(session.transactions for session in lab.ledger.sessions)
        assert not is_marked()
        outage.end()
        until(all_in(State.SENT, [message]), "it was sent")
    assert len(lab.ledger.accepted) == 1


def test_a_server_that_fails_during_an_outage_does_not_hold_the_message(
    fault_lab: StartLab, outage: Outage
) -> None:
    lab = fault_lab("at greeting: late 60 554 5.3.2 no service")
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        outage.begin()
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        outage.end()
        until(lambda: states(message) == [State.DEFERRED], "it waits for the destination")
    assert row(message).attempts == 0
    assert not Slot.objects.exists()


def test_a_large_source_that_cannot_be_read_now_is_not_quarantined(
    fault_lab: StartLab, outage: Outage, settings: LazySettings
) -> None:
    if is_sqlite():
        pytest.skip("SQLite can be read while it is locked for writing")
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    lab = fault_lab("at greeting: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        outage.begin()
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: len(ledger.sessions[0].commands) > 0)
        until(lambda: not working.engine.recorder.healthy, "the worker met the outage")
        outage.end()
        until(all_in(State.SENT, [message]), "it was sent")
    assert len(lab.ledger.accepted) == 1


def test_jobs_and_slots_returned_during_an_outage_are_not_lost(
    fault_lab: StartLab, outage: Outage, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"CIRCUIT_PAUSE_INITIAL": 0.1}
    lab = fault_lab("on connection 1: at greeting: late 60 554 5.3.2 no service")
    messages = queue_many(account_at(lab, max_connections=1), 5)
    with Working():
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        until(lambda: states().count(State.SENDING) == 5, "all were claimed")
        outage.begin()
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        outage.end()
        until(all_in(State.SENT, messages), "all were sent")
    assert len(lab.ledger.accepted) == 5


def test_a_busy_worker_survives_a_flapping_database(fault_lab: StartLab, outage: Outage) -> None:
    """Cut at any time, also during commits: each message arrives once and is recorded."""
    lab = fault_lab("at dot: late 0.005")
    sender = account_at(lab, max_connections=4)
    messages = queue_many(sender, 300)
    with Working() as working:
        for _ in range(8):
            count = len(lab.ledger.accepted)
            lab.ledger.wait_for(lambda ledger, n=count: len(ledger.accepted) > min(n + 15, 299))  # type: ignore[misc]  # binds the loop's value
            outage.begin()
            time.sleep(0.05)  # the outage's own length: whatever the worker is at is cut
            outage.end()
        until(all_in(State.SENT, messages), "all were sent", within=60)
        until(lambda: working.engine.recorder.idle, "everything was written")
    copies = Counter(taken.message_id for taken in lab.ledger.accepted)
    assert set(copies.values()) == {1}
    assert len(copies) == 300
    assert not Attempt.objects.filter(ended_at=None).exists()
    assert not Slot.objects.exists()
    assert {recipient.attempts for recipient in Recipient.objects.all()} == {1}
    assert not Attempt.objects.exclude(late_reply="").exists()


def test_a_claim_whose_commit_was_not_confirmed_is_undone(
    fault_lab: StartLab, wire: Outage
) -> None:
    """No sweep would do it: the worker is alive and does not know of its claim."""
    lab = fault_lab("")
    sender = account_at(lab)
    wire.lose_next()
    messages = queue_many(sender, 3)
    with Working():
        until(all_in(State.SENT, messages), "all were sent")
    assert len(lab.ledger.accepted) == 3
    assert not Attempt.objects.filter(ended_at=None).exists()


def test_a_claim_that_is_committed_late_is_undone(fault_lab: StartLab, wire: Outage) -> None:
    """What the worker releases before that is not there yet. No sweep would find it afterwards."""
    lab = fault_lab("")
    sender = account_at(lab, max_connections=1)
    wire.hold_next_commit()
    messages = queue_many(sender, 3)
    with Working() as working:
        until(lambda: wire.holds_commit, "the connection of the claim was cut")
        connected, deadline = wire.connected, time.monotonic() + 1
        while time.monotonic() < deadline:  # a second in which nothing may be returned
            # By the recorder, whose first connection this would be. The other one is the claimer's.
            if wire.connected >= connected + 2 and working.engine.recorder.idle:
                break
            time.sleep(0.01)
        wire.release()
        until(all_in(State.SENT, messages), "all were sent")
    assert len(lab.ledger.accepted) == 3
    assert not Attempt.objects.filter(ended_at=None).exists()


def test_a_mark_whose_commit_was_not_confirmed_is_repeated(
    fault_lab: StartLab, wire: Outage
) -> None:
    lab = fault_lab("at data: late 60")
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        until(SmtpSession.objects.exists, "the connection's own row was written")
        wire.lose_next()
        lab.skip_delays()
        until(all_in(State.SENT, [message]), "it was sent")
    assert len(lab.ledger.accepted) == 1


def test_a_result_whose_commit_was_not_confirmed_is_not_a_late_reply(
    fault_lab: StartLab, wire: Outage
) -> None:
    lab = fault_lab("at dot: late 60")
    message = queue(account_at(lab))
    received: list[str] = []

    def listen(change: Change, **_: object) -> None:
        received.append(change.state)

    signals.sent.connect(listen)
    try:
        with Working():
            until(is_marked, "the dot was marked")
            wire.lose_next()
            lab.skip_delays()
            until(all_in(State.SENT, [message]), "it was written")
    finally:
        signals.sent.disconnect(listen)
    assert received == [State.SENT]
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.late_reply) == (Outcome.SENT, "")
    assert row(message).attempts == 1


def test_a_session_whose_commit_was_not_confirmed_is_written_once(
    fault_lab: StartLab, wire: Outage
) -> None:
    lab = fault_lab("at greeting: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        wire.lose_next()
        lab.skip_delays()
        until(all_in(State.SENT, [message]), "it was sent")
        until(lambda: working.engine.recorder.idle, "everything was written")
    session = SmtpSession.objects.get()
    assert Attempt.objects.get().session_id == session.pk
    assert session.opening_lines


def test_a_connection_is_closed_only_after_its_results_are_written(
    fault_lab: StartLab, outage: Outage, settings: LazySettings
) -> None:
    """So a kill leaves no more uncertain recipients than there are connections."""
    settings.OUTBOX = settings.OUTBOX | {"SESSION_MAX_MESSAGES": 1}
    lab = fault_lab("at dot: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        until(is_marked, "the dot was marked")
        outage.begin()
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: bool(ledger.accepted))
        until(lambda: not working.engine.recorder.healthy, "the recorder noticed")
        assert "QUIT" not in lab.ledger.commands
        outage.end()
        lab.ledger.wait_for(lambda ledger: "QUIT" in ledger.commands)
        assert states(message) == [State.SENT]


def test_a_sweep_during_an_outage_logs_one_line(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.begin()
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(_sweep_and_close).result()
    outage.end()
    assert {record.levelname for record in caplog.records} == {"WARNING"}, "a traceback each time"


def _sweep_and_close() -> None:
    try:
        sweep("default")
    finally:
        connection.close()
