"""A handle tells the present of a mail, in our words and in Anymail's."""

import pickle

import pytest

from outbox import api
from outbox.exceptions import MessageNotFoundError
from outbox.models import Message, Recipient, State, Status
from outbox.models.rollup import roll_up_single

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def handle(shop: object) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text="Hello")


def put(handle: api.Handle, **values: object) -> api.RecipientStatus:
    """Put the recipient in a state, as a delivery would; return what the handle says."""
    Recipient.objects.filter(message=handle.pk).update(**values)
    return handle.recipients()["ann@example.com"]


def test_it_is_an_id_that_can_be_kept_anywhere(handle: api.Handle) -> None:
    assert pickle.loads(pickle.dumps(handle)) == api.Handle(handle.pk)  # noqa: S301  # our own


def test_it_tells_the_present(handle: api.Handle) -> None:
    roll_up_single({handle.pk: State.SENT}, "default")

    assert handle.status() == Status.SENT


def test_it_tells_the_server_s_words(handle: api.Handle) -> None:
    told = put(
        handle,
        state=State.DEFERRED,
        attempts=2,
        reply_code=451,
        reply_enhanced="4.7.1",
        reply_text="Come back later",
        reason="greylisted",
    )

    assert (told.reply_code, told.reply_enhanced) == (451, "4.7.1")
    assert (told.reply_text, told.reason, told.attempts) == ("Come back later", "greylisted", 2)
    assert told.message_id == handle.message().message_id


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
    told = put(handle, state=state, reply_command=command)

    assert (told.state, told.status, told.event_type) == (state, status, event_type)


def test_what_was_deleted_is_said_to_be_gone(handle: api.Handle) -> None:
    Message.objects.all().delete()

    for question in (handle.status, handle.message, handle.recipients):
        with pytest.raises(MessageNotFoundError, match="was deleted"):
            question()


@pytest.mark.parametrize("act", ["cancel", "retry", "hold", "release"])
def test_every_act_takes_it(handle: api.Handle, act: str) -> None:
    if act == "retry":
        Recipient.objects.filter(message=handle.pk).update(state=State.FAILED)
    if act == "release":
        api.hold(handle)

    getattr(api, act)(handle)

    expected = {"cancel": State.CANCELLED, "hold": State.HELD}.get(act, State.QUEUED)
    assert handle.recipients()["ann@example.com"].state == expected


@pytest.mark.parametrize("to", [State.SENT, State.DEFERRED, State.FAILED])
def test_an_uncertain_mail_is_settled(handle: api.Handle, to: State) -> None:
    put(handle, state=State.UNCERTAIN)

    assert api.settle(handle, to, why="asked them") == 1

    row = Recipient.objects.get()
    assert row.state == to
    assert (row.settled_at is None) is (row.next_attempt_at is not None) is (to == State.DEFERRED)


def test_only_what_is_uncertain_is_settled(handle: api.Handle) -> None:
    assert api.settle(handle, State.SENT) == 0


def test_it_cannot_be_settled_as_what_nobody_can_know(handle: api.Handle) -> None:
    with pytest.raises(ValueError, match="sent, deferred, failed, not as bounced"):
        api.settle(handle, State.BOUNCED)
