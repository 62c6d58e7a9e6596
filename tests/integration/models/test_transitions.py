"""A transition changes what its guard admits, and writes event, roll-up and webhook calls."""

import datetime as dt

import pytest

from outbox import signals
from outbox.db.clock import database_now
from outbox.models import (
    Account,
    Event,
    Message,
    Recipient,
    State,
    Status,
    Webhook,
    WebhookCall,
    transitions,
)
from outbox.models.transitions import TransitionError
from outbox.reasons import NO_REASON, Reason, ReasonCode
from tests.states import set_state

pytestmark = pytest.mark.django_db

USING = "default"


@pytest.fixture
def message() -> Message:
    account = Account.objects.create(name="shop", host="127.0.0.1")
    return Message.objects.create(account=account, status=Status.QUEUED, recipient_count=2)


@pytest.fixture
def recipients(message: Message) -> list[Recipient]:
    now = database_now(USING)
    return [
        Recipient.objects.create(message=message, address=address, next_attempt_at=now)
        for address in ("ann@example.net", "bob@example.net")
    ]


def hold_all() -> list[Recipient]:
    return transitions.apply(
        transitions.HOLD,
        Recipient.objects.all(),
        State.HELD,
        now=database_now(USING),
        why="to be checked",
    )


def test_the_guard_admits_the_transition_s_own_states_only(recipients: list[Recipient]) -> None:
    ann, bob = recipients
    set_state(Recipient.objects.filter(pk=ann.pk), State.SENT)
    changed = hold_all()
    assert [(row.pk, row.state) for row in changed] == [(bob.pk, State.QUEUED)]
    assert list(Recipient.objects.values_list("state", flat=True)) == [State.SENT, State.HELD]


def test_a_transition_that_ends_elsewhere_is_refused_before_any_change(
    recipients: list[Recipient],
) -> None:
    with pytest.raises(TransitionError, match="“release” ends in queued, not in sent"):
        transitions.apply(
            transitions.RELEASE, Recipient.objects.all(), State.SENT, now=database_now(USING)
        )
    assert set(Recipient.objects.values_list("state", flat=True)) == {State.QUEUED}


def test_a_change_entails_event_roll_up_signal_and_webhook_call(
    recipients: list[Recipient],
    message: Message,
    django_capture_on_commit_callbacks: pytest.FixtureRequest,
) -> None:
    received: list[signals.Change] = []

    def listen(change: signals.Change, **_kwargs: object) -> None:
        received.append(change)

    Webhook.objects.create(name="shop", url="https://example.net", states=["held"])
    signals.held.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # a callable
            hold_all()
    finally:
        signals.held.disconnect(listen)
    events = Event.objects.values_list("recipient_id", "kind", "from_state", "to_state", "why")
    assert list(events) == [
        (row.pk, "held", "queued", "held", "to be checked") for row in recipients
    ]
    message.refresh_from_db()
    assert message.status == Status.HELD
    assert [change.recipient_id for change in received] == [row.pk for row in recipients]
    assert WebhookCall.objects.count() == 2


def test_waiting_recipients_have_no_final_time_and_final_ones_no_next_attempt(
    recipients: list[Recipient],
) -> None:
    now = database_now(USING)
    everyone = Recipient.objects.all()
    transitions.apply(transitions.CANCEL, everyone, State.CANCELLED, now=now)
    assert set(everyone.values_list("next_attempt_at", "final_at")) == {(None, now)}
    due = now + dt.timedelta(minutes=5)
    transitions.apply(transitions.RETRY, everyone, State.QUEUED, now=now, moment=due)
    assert set(everyone.values_list("next_attempt_at", "final_at")) == {(due, None)}


@pytest.mark.parametrize("state", set(State) - {State.QUEUED, State.CANCELLED})
def test_recipients_that_were_tried_cannot_be_withdrawn(
    recipients: list[Recipient], state: State
) -> None:
    set_state(Recipient.objects, state)
    with pytest.raises(TransitionError, match=f"is {state} cannot be withdrawn"):
        transitions.withdraw(list(Recipient.objects.all()), "", USING)
    assert Recipient.objects.count() == 2


def test_history_is_imported_in_final_states_only(
    recipients: list[Recipient], message: Message
) -> None:
    now = database_now(USING)
    with pytest.raises(TransitionError, match="not as deferred"):
        transitions.import_final(message.pk, State.DEFERRED, now, NO_REASON, USING)
    transitions.import_final(
        message.pk, State.EXPIRED, now, Reason(ReasonCode.LIFETIME_EXCEEDED), USING
    )
    rows = Recipient.objects.values_list(
        "address", "state", "final_at", "ended_as", "next_attempt_at"
    )
    assert list(rows) == [
        (row.address, State.EXPIRED, now, State.EXPIRED, None) for row in recipients
    ]
