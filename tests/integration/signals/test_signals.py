"""Other apps receive the changes of each recipient after the commit, and cannot stop it."""

import datetime as dt
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from outbox import api, signals
from outbox.delivery.sweep import sweep
from outbox.models import Account, Attempt, Message, Recipient, State, Worker
from outbox.signals import SIGNAL_OF, Change
from tests.states import set_state

pytestmark = pytest.mark.django_db(transaction=True)
PAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Listener:
    """A receiver that remembers; `fault` is what it raises instead of returning."""

    def __init__(self) -> None:
        self.received: list[Change] = []
        self.fault: Exception | None = None

    def __call__(self, sender: type, change: Change, **_: Any) -> None:
        assert sender is Recipient
        self.received.append(change)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Connected to every signal there is."""
    listener = Listener()
    for signal in SIGNAL_OF.values():
        signal.connect(listener)
    yield listener
    for signal in SIGNAL_OF.values():
        signal.disconnect(listener)


def queue(*addresses: str) -> Message:
    account, _ = Account.objects.get_or_create(
        name="shop", from_address="shop@example.com", host="mail.example.com"
    )
    outgoing = api.Outgoing(
        source=b"From: shop@example.com\r\n\r\n",
        envelope_sender="shop@example.com",
        recipients=[api.OutgoingRecipient(address) for address in addresses],
        account=account,
    )
    return api.queue_sources([outgoing])[0]


def test_queueing_sends_a_signal_for_each_recipient(listener: Listener) -> None:
    message = queue("a@example.com", "b@example.com")

    assert [(each.address, each.state) for each in listener.received] == [
        ("a@example.com", State.QUEUED),
        ("b@example.com", State.QUEUED),
    ]
    assert {each.message_id for each in listener.received} == {message.pk}
    ids = set(Recipient.objects.values_list("pk", flat=True))
    assert {each.recipient_id for each in listener.received} == ids


def test_no_signal_is_sent_before_the_commit(listener: Listener) -> None:
    with transaction.atomic():
        queue("a@example.com")
        assert listener.received == []
    assert len(listener.received) == 1


def test_no_signal_is_sent_after_a_rollback(listener: Listener) -> None:
    with transaction.atomic():
        queue("a@example.com")
        transaction.set_rollback(True)

    assert listener.received == []


def test_a_cancellation_is_sent_with_its_reason(listener: Listener) -> None:
    message = queue("a@example.com")
    listener.received.clear()

    api.cancel(message, why="wrong address")

    (change,) = listener.received
    assert (change.state, change.reason) == (State.CANCELLED, "wrong address")


def test_the_signal_of_a_delivery_has_the_last_reply(listener: Listener) -> None:
    message = queue("a@example.com")
    set_state(Recipient.objects, State.UNCERTAIN, reply_code=250, reply_command="DOT")

    api.resolve_uncertain(message, State.FAILED)

    change = listener.received[-1]
    assert (change.reply_code, change.reply_command) == (250, "DOT")
    assert (change.state, change.event_type) == (State.FAILED, "failed")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({"expires_at": PAST}, State.EXPIRED, id="too old"),
        pytest.param({"destination": None}, State.HELD, id="its account is gone"),
        pytest.param(
            {"state": State.UNCERTAIN, "resend_at": PAST}, State.DEFERRED, id="sent again"
        ),
    ],
)
def test_changes_of_the_sweep_are_sent(
    listener: Listener, values: dict[str, Any], expected: State
) -> None:
    queue("a@example.com")
    set_state(Recipient.objects, **{"state": State.QUEUED} | values)

    sweep("default")

    assert [change.state for change in listener.received] == [State.QUEUED, expected]
    reason = Recipient.objects.get().reason
    assert (listener.received[-1].reason, listener.received[-1].reason_code) == (
        str(reason),
        reason.code,
    )
    assert reason


@pytest.mark.system
@pytest.mark.parametrize(
    ("marked_at", "expected"), [(None, State.DEFERRED), (PAST, State.UNCERTAIN)]
)
def test_changes_after_the_death_of_a_worker_are_sent(
    listener: Listener, marked_at: dt.datetime | None, expected: State
) -> None:
    message = queue("a@example.com")
    worker = Worker.objects.create(
        host="gone", pid=1, started_at=PAST, heartbeat_at=PAST, lease_until=PAST
    )
    attempt = Attempt.objects.create(
        message=message, worker=worker, started_at=PAST, dot_marked_at=marked_at
    )
    set_state(Recipient.objects, State.SENDING, attempt=attempt)

    sweep("default")

    assert [change.state for change in listener.received] == [State.QUEUED, expected]


@pytest.mark.parametrize("named", [True, False], ids=["a function", "an object"])
def test_a_receiver_that_raises_stops_neither_the_message_nor_the_next_receiver(
    named: bool, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.fault = RuntimeError("the receiver is broken")
    if named:  # Django's own report of a failure names the receiver
        listener.__qualname__ = "listener"  # type: ignore[attr-defined]

    with caplog.at_level(logging.ERROR):
        queue("a@example.com", "b@example.com")

    assert Recipient.objects.count() == len(listener.received) == 2
    assert "the receiver is broken" in caplog.text


def test_a_sender_can_check_for_receivers(listener: Listener) -> None:
    assert signals.has_receivers(State.FAILED)

    signals.failed.disconnect(listener)

    assert not signals.has_receivers(State.FAILED)


def test_every_state_but_sending_has_a_signal() -> None:
    assert set(SIGNAL_OF) == set(State) - {State.SENDING}
    assert not signals.has_receivers(State.SENDING)
