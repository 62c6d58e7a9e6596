"""A worker that is asked to stop ends what it began and gives back what it did not."""

import contextlib
from collections import Counter

import pytest
from django.conf import LazySettings

from outbox.delivery import process
from outbox.delivery.engine import Engine
from outbox.delivery.sweep import sweep
from outbox.models import Attempt, Recipient, Slot, Source, State, Worker
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.desk import (
    USING,
    Working,
    account_at,
    all_in,
    deliver,
    queue,
    queue_many,
    refusing,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


def test_what_was_begun_ends_and_the_rest_goes_back(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: late 60")
    queue_many(account_at(lab, max_connections=1), 6)
    with Working() as working:
        until(lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "a dot was marked")
        assert states().count(State.SENDING) > 1  # claimed ahead
        working.engine.stop()
        until(lambda: states().count(State.SENDING) == 1, "the rest went back")
        lab.hurry()
    assert Counter(states()) == {State.SENT: 1, State.QUEUED: 5}
    assert len(lab.ledger.accepted) == 1
    assert {recipient.attempts for recipient in Recipient.objects.filter(state="queued")} == {0}
    assert Attempt.objects.count() == 1  # what was not begun left no trace
    assert not Slot.objects.exists()
    assert Worker.objects.get().ended_at is not None
    assert lab.ledger.commands[-1] == "QUIT"


def test_what_was_still_connecting_goes_back_too(
    fault_lab: StartLab, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_FOR": 0.1}
    lab = fault_lab("at greeting: black-hole")
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
    recipient = row(message)
    assert (recipient.state, recipient.attempts) == (State.QUEUED, 0)
    assert not Slot.objects.exists()


@pytest.mark.parametrize(
    ("scenario", "state"),
    [("at data: black-hole", State.DEFERRED), ("at dot: black-hole", State.UNCERTAIN)],
)
def test_what_does_not_end_in_time_is_cut_and_found_by_the_sweep(
    fault_lab: StartLab, settings: LazySettings, scenario: str, state: State
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SHUTDOWN_FOR": 0.1}
    lab = fault_lab(scenario)
    message = queue(account_at(lab))
    with Working():
        lab.ledger.wait_for(lambda ledger: "DATA" in ledger.commands)
        if state == State.UNCERTAIN:
            until(lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "it was marked")
    assert states(message) == [State.SENDING]
    sweep(USING)
    assert states(message) == [state]


def test_nothing_is_claimed_after_the_stop(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    with Working() as working:
        working.stop()
        queue(account_at(lab))
    assert lab.ledger.sessions == []


def test_a_run_until_empty_ends_by_itself_and_leaves_what_is_not_due(fault_lab: StartLab) -> None:
    lab = fault_lab("at rcpt <busy@*>: 451 4.3.0 later")
    sender = account_at(lab)
    queue_many(sender, 5)
    queue(sender, "busy@example.net")
    deliver()
    assert Counter(states()) == {State.SENT: 5, State.DEFERRED: 1}
    deliver()  # nothing to do


def test_a_run_until_empty_tells_of_a_step_that_failed(fault_lab: StartLab) -> None:
    """It would else run for ever, or end as if all were well."""
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


def test_a_process_has_one_engine_whoever_feeds_it(fault_lab: StartLab) -> None:
    """Protocol item 99: a task delivered twice does nothing the second time."""
    lab = fault_lab("")
    sender = account_at(lab)
    messages = queue_many(sender, 10)
    try:
        for _ in range(5):
            process.feed()
        until(all_in(State.SENT, messages), "all mail was sent")
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


def test_a_large_source_is_read_when_its_turn_comes(
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
