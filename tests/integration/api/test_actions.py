"""Actions on a queued message: each one changes the states that it lists, and no others."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.models import CHANGES, Event, EventKind, Message, Recipient, State, Status
from tests.integration.api.conftest import Queue

pytestmark = pytest.mark.django_db

Action = Callable[[Message, User], int]

_ACTIONS: dict[str, tuple[Action, dict[State, State], EventKind]] = {
    "cancel": (
        lambda message, user: api.cancel(message, actor=user, why="by mistake").stopped,
        dict.fromkeys((State.QUEUED, State.DEFERRED, State.HELD), State.CANCELLED),
        EventKind.CANCELLED,
    ),
    "retry": (
        lambda message, user: api.retry(message, actor=user, why="by mistake"),
        dict.fromkeys((State.FAILED, State.EXPIRED, State.BOUNCED), State.QUEUED)
        | {State.DEFERRED: State.DEFERRED},
        EventKind.RETRIED,
    ),
    "hold": (
        lambda message, user: api.hold(message, actor=user, why="by mistake"),
        dict.fromkeys((State.QUEUED, State.DEFERRED), State.HELD),
        EventKind.HELD,
    ),
    "release": (
        lambda message, user: api.release(message, actor=user, why="by mistake"),
        {State.HELD: State.QUEUED},
        EventKind.RELEASED,
    ),
    "resolve as sent": (
        lambda message, user: api.resolve_as_sent(message, actor=user, why="by mistake"),
        {State.UNCERTAIN: State.SENT},
        EventKind.RESOLVED,
    ),
    "resolve as unsent": (
        lambda message, user: api.resolve_as_unsent(message, actor=user, why="by mistake"),
        {State.UNCERTAIN: State.DEFERRED},
        EventKind.RESOLVED,
    ),
}


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("name", list(_ACTIONS))
def test_an_action_changes_only_the_states_it_applies_to(
    ann: User, queue: Queue, name: str, before: State
) -> None:
    action, moves, kind = _ACTIONS[name]
    message = queue(state=before)
    row = Recipient.objects.values().get()
    changed = action(message, ann)
    events = Event.objects.filter(message=message, recipient__isnull=False)
    if before not in moves:
        assert changed == 0
        assert Recipient.objects.values().get() == row
        assert not events.exists()
        return
    assert changed == 1
    assert Recipient.objects.get().state == moves[before]
    assert list(events.values_list("kind", "from_state", "to_state", "actor_id", "why")) == [
        (kind, before, moves[before], ann.pk, "by mistake")
    ]


@pytest.mark.parametrize("name", list(_ACTIONS))
def test_no_action_makes_a_transition_that_the_table_forbids(name: str) -> None:
    _, moves, _ = _ACTIONS[name]
    for before, after in moves.items():
        assert after in CHANGES[before] or after == before


@pytest.mark.parametrize(
    ("name", "before", "status"),
    [
        ("cancel", State.DEFERRED, Status.CANCELLED),
        ("retry", State.FAILED, Status.QUEUED),
        ("hold", State.QUEUED, Status.HELD),
        ("release", State.HELD, Status.QUEUED),
        ("resolve as sent", State.UNCERTAIN, Status.SENT),
        ("resolve as unsent", State.UNCERTAIN, Status.DEFERRED),
    ],
)
def test_the_message_s_status_follows_at_once(
    ann: User, queue: Queue, name: str, before: State, status: Status
) -> None:
    message = queue(state=before)
    _ACTIONS[name][0](message, ann)
    message.refresh_from_db()
    assert message.status == status


@pytest.mark.parametrize("name", ["retry", "resolve as sent", "resolve as unsent"])
def test_an_action_on_chosen_recipients_does_not_change_the_others(queue: Queue, name: str) -> None:
    before = State.FAILED if name == "retry" else State.UNCERTAIN
    message = queue("bob@example.net", "eve@example.net", state=before)
    chosen = Recipient.objects.filter(address="eve@example.net")
    verbs = {
        "retry": api.retry,
        "resolve as sent": api.resolve_as_sent,
        "resolve as unsent": api.resolve_as_unsent,
    }
    assert verbs[name](message, recipients=list(chosen)) == 1
    assert Recipient.objects.get(address="bob@example.net").state == before
    assert Recipient.objects.get(address="eve@example.net").state != before


def test_a_retry_sends_to_a_cancelled_recipient_only_by_name(queue: Queue) -> None:
    message = queue("bob@example.net", "eve@example.net", state=State.CANCELLED)
    assert api.retry(message) == 0
    bob = Recipient.objects.get(address="bob@example.net")
    assert api.retry(message, recipients=[bob]) == 1
    states = dict(Recipient.objects.values_list("address", "state"))
    assert states == {"bob@example.net": State.QUEUED, "eve@example.net": State.CANCELLED}


def test_a_recipient_of_another_message_is_not_changed(queue: Queue) -> None:
    mine, other = queue(state=State.FAILED), queue(state=State.FAILED)
    assert api.retry(mine, recipients=list(other.recipients.all())) == 0
    assert set(Recipient.objects.values_list("state", flat=True)) == {State.FAILED}


def test_a_retry_is_due_now_and_has_a_whole_life_again(queue: Queue) -> None:
    message = queue(state=State.EXPIRED)
    past = timezone.now() - dt.timedelta(days=9)
    Recipient.objects.update(attempts=60, expires_at=past, final_at=past, next_attempt_at=None)
    api.retry(message)
    row = Recipient.objects.get()
    assert (row.attempts, row.attempts_at_retry, row.final_at) == (60, 60, None)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= timezone.now()
    assert row.expires_at is not None
    assert row.expires_at > timezone.now() + dt.timedelta(days=4)


def test_a_retry_of_what_waits_makes_it_due_and_keeps_its_count(queue: Queue) -> None:
    message = queue(state=State.DEFERRED)
    Recipient.objects.update(attempts=3, next_attempt_at=timezone.now() + dt.timedelta(hours=3))
    api.retry(message)
    row = Recipient.objects.get()
    assert (row.attempts, row.attempts_at_retry) == (3, 3)
    assert row.next_attempt_at is not None
    assert row.next_attempt_at <= timezone.now()


def test_a_recipient_resolved_as_sent_has_no_next_attempt(queue: Queue) -> None:
    message = queue(state=State.UNCERTAIN)
    Recipient.objects.update(next_attempt_at=timezone.now())
    api.resolve_as_sent(message)
    row = Recipient.objects.get()
    assert row.next_attempt_at is None
    assert row.final_at is not None


def test_scheduled_mail_that_was_held_still_leaves_at_its_time(queue: Queue) -> None:
    moment = timezone.now() + dt.timedelta(days=2)
    message = queue(send_at=moment)
    api.hold(message)
    api.release(message)
    assert Recipient.objects.get().next_attempt_at == moment
