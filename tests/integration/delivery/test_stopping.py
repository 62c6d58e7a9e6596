"""A worker that is asked to stop ends its transactions and returns its other jobs."""

import contextlib
from collections import Counter

import pytest
from django.conf import LazySettings

from outbox.delivery import process
from outbox.delivery.engine import Engine
from outbox.models import Attempt, Recipient, Slot, SmtpSession, Source, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    Working,
    account_at,
    all_in,
    deliver,
    last_attempt,
    queue,
    queue_many,
    refusing,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def test_transactions_in_progress_end_and_other_jobs_are_returned(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: late 60")
    queue_many(account_at(lab, max_connections=1), 6)
    with Working() as working:
        until(
            lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "a final dot was marked"
        )
        assert states().count(State.SENDING) > 1  # claimed ahead
        working.engine.stop()
        until(lambda: states().count(State.SENDING) == 1, "the rest went back")
        lab.skip_delays()
    assert Counter(states()) == {State.SENT: 1, State.QUEUED: 5}
    assert len(lab.ledger.accepted) == 1
    assert {recipient.attempts for recipient in Recipient.objects.filter(state="queued")} == {0}
    assert Attempt.objects.count() == 1  # what was not begun left no trace
    assert not Slot.objects.exists()
    assert Worker.objects.get().ended_at is not None
    assert lab.ledger.commands[-1] == "QUIT"


def test_jobs_that_wait_for_a_connection_are_returned_too(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}
    lab = fault_lab("at greeting: black-hole")
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.QUEUED, 0)
    assert not Slot.objects.exists()


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("at data: black-hole", State.QUEUED), ("at dot: black-hole", State.UNCERTAIN)],
)
def test_a_transaction_that_takes_too_long_is_ended_and_recorded(
    fault_lab: StartLab, settings: LazySettings, scenario: str, state: State
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_TIMEOUT": 0.1}
    lab = fault_lab(scenario)
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        if state == State.UNCERTAIN:
            until(lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "it was marked")
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (state, int(state == State.UNCERTAIN))
    assert "The worker was stopped while it waited for the server." in str(recipient.reason)
    attempt = last_attempt(message)
    assert attempt.ended_at is not None
    said = [text for _, _, text in attempt.transfer_lines]
    assert said[0].startswith("MAIL FROM:")
    assert said[-1] == "worker_stopped"
    assert SmtpSession.objects.get().ended_at is not None
    assert not Slot.objects.exists()


def test_nothing_is_claimed_after_the_stop(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    with Working() as working:
        working.stop()
        queue(account_at(lab))
    assert lab.ledger.sessions == []


def test_a_drain_ends_by_itself_and_ignores_what_is_not_due(fault_lab: StartLab) -> None:
    lab = fault_lab("at rcpt <busy@*>: 451 4.3.0 later")
    sender = account_at(lab)
    queue_many(sender, 5)
    queue(sender, "busy@example.net")
    deliver()
    assert Counter(states()) == {State.SENT: 5, State.DEFERRED: 1}
    deliver()  # nothing to do


def test_a_drain_raises_the_error_of_a_failed_step(fault_lab: StartLab) -> None:
    """Otherwise it would run for ever, or end without an error."""
    queue(account_at(fault_lab("")))
    with (
        refusing("outbox_recipient", "NEW.state = 'sending'"),
        pytest.raises(Exception, match="refused"),
    ):
        deliver()
    assert states() == [State.QUEUED]
    assert not Slot.objects.exists()


def test_a_working_engine_survives_a_step_that_failed(
    fault_lab: StartLab, caplog: pytest.LogCaptureFixture
) -> None:
    message = queue(account_at(fault_lab(""), max_connections=1))
    with contextlib.ExitStack() as trouble:
        trouble.enter_context(refusing("outbox_recipient", "NEW.state = 'sending'"))
        with Working():
            until(lambda: caplog.text.count("A step of the engine failed") > 1, "claims failed")
            trouble.close()
            until(all_in(State.SENT, [message]), "it was sent")


def test_a_process_has_one_engine(fault_lab: StartLab) -> None:
    """Protocol item 99: a task delivered twice does nothing the second time."""
    lab = fault_lab("")
    sender = account_at(lab)
    messages = queue_many(sender, 10)
    try:
        for _ in range(5):
            process.feed()
        until(all_in(State.SENT, messages), "all messages were sent")
        assert Worker.objects.count() == 1
    finally:
        process.stop()
    assert Worker.objects.get().ended_at is not None
    more = queue_many(sender, 2)
    try:
        process.feed()
        until(all_in(State.SENT, more), "a later task started another engine")
    finally:
        process.stop()
    assert len(lab.ledger.accepted) == 12
    process.stop()  # of what does not run


def test_an_engine_may_be_stopped_and_woken_before_it_runs() -> None:
    engine = Engine()
    engine.wake()
    engine.stop()
    engine.run()
    assert Worker.objects.get().ended_at is not None
    engine.wake()  # and after


def test_a_large_source_is_read_before_its_transaction(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    lab = fault_lab("")
    message = queue(account_at(lab))
    deliver()
    assert states() == [State.SENT]
    source = Source.objects.get(message=message)
    assert source.data is None
    assert lab.ledger.accepted[0].source == source.read()
