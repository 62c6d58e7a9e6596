"""Cancel and delivery race for the same row; the server's ledger shows which one won. Item 103."""

import random
import time

import pytest
from django.conf import LazySettings

from outbox import api
from outbox.models import Attempt, Event, EventKind, Outcome, State, Status
from outbox.testing.faultlab import FaultLab
from outbox.testing.pytest_plugin import StartLab
from tests.integration.delivery.mail_client import (
    BOB,
    Working,
    account,
    account_at,
    all_in,
    last_attempt,
    queue,
    row,
    states,
    until,
)

# The engine has threads, and each its connection: they see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

EVE = "eve@example.net"


def test_a_cancel_before_the_claim_wins(fault_lab: StartLab) -> None:
    lab = fault_lab("")
    message = queue(account_at(lab))
    assert api.cancel(message) == api.CancelResult(stopped=1, too_late=0)
    with Working():
        until(all_in(State.SENT, [queue(account_at(lab))]), "another message was sent")
    assert states(message) == [State.CANCELLED]
    assert row(message).final_at is not None
    assert len(lab.ledger.accepted) == 1


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data"])
def test_a_cancel_before_the_final_dot_wins(
    fault_lab: StartLab, settings: LazySettings, stage: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SESSION_MAX_IDLE": 0.2}
    lab = fault_lab(f"at {stage}: late 60")
    message = queue(account_at(lab))
    with Working() as working:
        until(lambda: states(message) == [State.SENDING], "it was claimed")
        lab.ledger.wait_for(lambda ledger: bool(ledger.sessions))
        assert api.cancel(message) == api.CancelResult(stopped=1, too_late=0)
        assert states(message) == [State.CANCELLED]
        lab.skip_delays()
        lab.ledger.wait_for(lambda ledger: ledger.sessions[0].over)
        until(lambda: working.engine.recorder.idle, "all was written")
    assert not any(taken.dot for taken in lab.ledger.transactions)
    assert states(message) == [State.CANCELLED]
    message.refresh_from_db()
    assert message.status == Status.CANCELLED
    assert last_attempt(message).outcome == Outcome.CANCELLED


def test_a_cancel_after_the_mark_is_too_late_for_the_server(fault_lab: StartLab) -> None:
    lab = fault_lab("at dot: late 60")
    message = queue(account_at(lab))
    with Working():
        until(lambda: Attempt.objects.exclude(dot_marked_at=None).exists(), "it was marked")
        assert api.cancel(message) == api.CancelResult(stopped=0, too_late=1)
        lab.skip_delays()
        until(all_in(State.SENT, [message]), "it was sent")
    assert len(lab.ledger.accepted) == 1
    kinds = Event.objects.filter(message=message).values_list("kind", flat=True)
    assert list(kinds) == [EventKind.CANCEL_TOO_LATE]


def test_a_cancel_after_delivery_changes_nothing(fault_lab: StartLab) -> None:
    message = queue(account_at(fault_lab("")))
    with Working():
        until(all_in(State.SENT, [message]), "it was sent")
    assert api.cancel(message) == api.CancelResult(stopped=0, too_late=0)  # no race any more
    assert states(message) == [State.SENT]
    assert Event.objects.filter(kind=EventKind.CANCEL_TOO_LATE).count() == 1


def test_a_second_cancel_changes_nothing() -> None:
    message = queue(account())
    api.cancel(message)
    assert api.cancel(message) == api.CancelResult(stopped=0, too_late=0)
    assert Event.objects.filter(kind=EventKind.CANCEL_TOO_LATE).count() == 0


def test_some_recipients_can_be_cancelled_alone(fault_lab: StartLab) -> None:
    lab = fault_lab(f"at rcpt <{EVE}>: 451 4.7.1 later")
    message = queue(account_at(lab), BOB, EVE)
    with Working():
        until(lambda: states(message) == [State.SENT, State.DEFERRED], "one waits")
    assert api.cancel(message) == api.CancelResult(stopped=1, too_late=0)
    message.refresh_from_db()
    assert message.status == Status.PARTIAL
    assert states(message) == [State.SENT, State.CANCELLED]


@pytest.mark.parametrize(
    "offer",
    [
        "8BITMIME",
        "PIPELINING, 8BITMIME",
        "PIPELINING, CHUNKING, 8BITMIME",
    ],
)
def test_a_cancel_at_any_moment_agrees_with_the_server(fault_lab: StartLab, offer: str) -> None:
    """Both results of the race must occur, or it was not a race."""
    lab = fault_lab(f"offer {offer}\nat rcpt: late 0.003\nat dot: late 0.003\nat bdat: late 0.003")
    sender = account_at(lab, max_connections=2)
    chance = random.Random(7)  # noqa: S311  # a fixed spread of moments
    longest = 0.03  # seconds; a busy machine takes longer to send, too
    stopped = sent = 0
    deadline = time.monotonic() + 90
    with Working():
        while (stopped < 10 or sent < 10) and time.monotonic() < deadline:
            message = queue(sender)
            time.sleep(chance.uniform(0, longest))  # the race: at any moment of the delivery
            result = api.cancel(message)
            until(lambda m=message: states(m)[0] in {State.SENT, State.CANCELLED}, "it ended")  # type: ignore[misc]  # binds the loop's value
            [state] = states(message)
            assert (state == State.CANCELLED) == (result.stopped == 1)
            assert result.too_late == 0 or state == State.SENT
            stopped += result.stopped
            sent += 1 - result.stopped
            longest *= 1.1 if result.stopped else 0.9
            _agrees(lab, message.message_id, accepted=state == State.SENT)
        until(lambda: not Attempt.objects.filter(ended_at=None).exists(), "all attempts ended")
    assert stopped >= 10
    assert sent >= 10


def _agrees(lab: FaultLab, message_id: str, *, accepted: bool) -> None:
    copies = lab.ledger.copies(f"<{message_id}>", BOB)
    assert copies == (1 if accepted else 0), lab.ledger.text()
