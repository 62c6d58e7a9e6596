"""A handle returns the current state of a message, in the outbox's terms and in Anymail's."""

import pickle

import pytest
from django.utils import timezone

from outbox import api
from outbox.exceptions import MessageNotFoundError
from outbox.models import Message, Recipient, State, Status
from outbox.models.rollup import roll_up
from outbox.reasons import quoted
from tests.states import set_state

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def handle(shop: object) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text="Hello")


def set_recipient(handle: api.Handle, state: State, **values: object) -> api.RecipientStatus:
    """Set the state of the recipient, as a delivery would; return its status from the handle."""
    set_state(Recipient.objects.filter(message=handle.pk), state, **values)
    return handle.recipients()["ann@example.com"]


def test_it_is_an_id_that_can_be_kept_anywhere(handle: api.Handle) -> None:
    assert pickle.loads(pickle.dumps(handle)) == api.Handle(handle.pk)  # noqa: S301  # our own


def test_it_returns_the_current_status(handle: api.Handle) -> None:
    roll_up([], timezone.now(), "default", singles={handle.pk: State.SENT})

    assert handle.status() == Status.SENT


def test_it_returns_the_server_reply(handle: api.Handle) -> None:
    recipient = set_recipient(
        handle,
        state=State.DEFERRED,
        attempts=2,
        reply_code=451,
        reply_enhanced="4.7.1",
        reply_text="Come back later",
        reason=quoted("greylisted"),
    )

    assert (recipient.reply_code, recipient.reply_enhanced) == (451, "4.7.1")
    assert (recipient.reply_text, recipient.attempts) == ("Come back later", 2)
    assert (recipient.reason, recipient.reason_code) == ("greylisted", "quoted")
    assert recipient.message_id == handle.message().message_id


@pytest.mark.parametrize(
    ("state", "command", "status", "event_type"),
    [
        (State.QUEUED, "", "queued", "queued"),
        (State.SENDING, "", "queued", "queued"),
        (State.DEFERRED, "RCPT", "queued", "deferred"),
        (State.HELD, "", "queued", "queued"),
        (State.SENT, "DOT", "sent", "sent"),
        (State.BOUNCED, "DOT", "sent", "bounced"),
        (State.FAILED, "RCPT", "rejected", "rejected"),
        (State.FAILED, "DOT", "failed", "failed"),
        (State.EXPIRED, "RCPT", "failed", "failed"),
        (State.CANCELLED, "", "failed", "failed"),
        (State.UNCERTAIN, "DOT", "unknown", "unknown"),
    ],
)
def test_every_state_has_a_word_of_anymail_s(
    handle: api.Handle, state: State, command: str, status: str, event_type: str
) -> None:
    recipient = set_recipient(handle, state=state, reply_command=command)

    assert (recipient.state, recipient.status, recipient.event_type) == (state, status, event_type)


def test_what_was_deleted_is_said_to_be_gone(handle: api.Handle) -> None:
    Message.objects.all().delete()

    for question in (handle.status, handle.message, handle.recipients):
        with pytest.raises(MessageNotFoundError, match="was deleted"):
            question()


@pytest.mark.parametrize("action", ["cancel", "retry", "hold", "release"])
def test_every_action_accepts_a_handle(handle: api.Handle, action: str) -> None:
    if action == "retry":
        set_state(Recipient.objects.filter(message=handle.pk), State.FAILED)
    if action == "release":
        api.hold(handle)

    getattr(api, action)(handle)

    expected = {"cancel": State.CANCELLED, "hold": State.HELD}.get(action, State.QUEUED)
    assert handle.recipients()["ann@example.com"].state == expected


@pytest.mark.parametrize("to", [State.SENT, State.DEFERRED, State.FAILED])
def test_an_uncertain_message_is_resolved(handle: api.Handle, to: State) -> None:
    set_recipient(handle, state=State.UNCERTAIN)

    assert api.resolve_uncertain(handle, to, why="asked them") == 1

    row = Recipient.objects.get()
    assert row.state == to
    assert (row.final_at is None) is (row.next_attempt_at is not None) is (to == State.DEFERRED)


def test_only_an_uncertain_message_is_resolved(handle: api.Handle) -> None:
    assert api.resolve_uncertain(handle, State.SENT) == 0


def test_it_cannot_be_resolved_as_bounced(handle: api.Handle) -> None:
    with pytest.raises(ValueError, match="sent, deferred, failed, not as bounced"):
        api.resolve_uncertain(handle, State.BOUNCED)
