"""Actions on one message: the question first, performed by POST, reported as it happened."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.api.message_actions import RECIPIENT_ACTIONS
from outbox.models import Attempt, Event, EventKind, Message, Recipient, State, Status
from outbox.models.rollup import roll_up
from tests.states import set_state

NOTHING_DONE = "The message has changed state. Nothing was done."


def set_states(message: Message, *states: State) -> list[Recipient]:
    """Set the states of the recipients, and return them in this order."""
    recipients = list(message.recipients.order_by("pk"))
    for recipient, state in zip(recipients, states, strict=True):
        set_state(Recipient.objects.filter(pk=recipient.pk), state)
    roll_up([message.pk], timezone.now(), "default")
    return recipients


def question(client: Client, action: str, message: Message) -> str:
    response = client.get(reverse(f"outbox:{action}", args=[message.pk]))
    assert response.status_code == 200
    return response.content.decode()


def perform(client: Client, action: str, message: Message, **fields: object) -> list[str]:
    """Return what the next page reports."""
    response = client.post(reverse(f"outbox:{action}", args=[message.pk]), fields)
    assert response.status_code == 302
    return [str(message) for message in get_messages(response.wsgi_request)]


def states(message: Message) -> list[str]:
    return list(message.recipients.order_by("pk").values_list("state", flat=True))


@pytest.mark.parametrize("action", RECIPIENT_ACTIONS)
def test_the_question_changes_nothing(as_anna: Client, mail: Message, action: str) -> None:
    before = states(mail)
    question(as_anna, action, mail)
    assert states(mail) == before
    assert not Event.objects.exclude(kind=EventKind.QUEUED).exists()


@pytest.mark.parametrize("action", RECIPIENT_ACTIONS)
def test_an_action_that_is_not_possible_has_no_button(
    as_anna: Client, mail: Message, action: str
) -> None:
    set_states(mail, State.SENT, State.SENT)
    page = question(as_anna, action, mail)
    assert "There are none." in page
    assert str(RECIPIENT_ACTIONS[action].label) + "</button>" not in page


def test_cancel_stops_waiting_recipients_and_counts_them(as_anna: Client, mail: Message) -> None:
    assert "2 recipients: 2 queued." in question(as_anna, "cancel", mail)
    reported = perform(as_anna, "cancel", mail, why="Wrong file")
    assert reported == ["Delivery cancelled: 2 recipients."]
    assert states(mail) == [State.CANCELLED] * 2
    mail.refresh_from_db()
    assert mail.status == Status.CANCELLED
    assert set(Event.objects.filter(kind="cancelled").values_list("why", "actor__username")) == {
        ("Wrong file", "anna")
    }


def test_cancel_reports_recipients_for_which_it_was_too_late(
    as_anna: Client, mail: Message
) -> None:
    set_states(mail, State.SENDING, State.QUEUED)
    attempt = Attempt.objects.create(
        message=mail, started_at=timezone.now(), dot_marked_at=timezone.now()
    )
    mail.recipients.filter(state=State.SENDING).update(attempt=attempt)
    assert perform(as_anna, "cancel", mail, why="") == [
        "Delivery cancelled: 1 recipient.",
        "Too late for 1 recipient: the message was already being sent.",
    ]
    assert states(mail) == [State.SENDING, State.CANCELLED]


def test_cancel_of_a_sent_message_reports_that_nothing_was_done(
    as_anna: Client, mail: Message
) -> None:
    set_states(mail, State.SENT, State.SENT)
    assert perform(as_anna, "cancel", mail, why="") == [NOTHING_DONE]


def test_retry_queues_only_the_selected_recipients(as_anna: Client, mail: Message) -> None:
    _jane, joe = set_states(mail, State.FAILED, State.FAILED)
    assert "jane@example.com" in question(as_anna, "retry", mail)
    assert perform(as_anna, "retry", mail, recipients=[joe.pk]) == ["Queued again: 1 recipient."]
    assert states(mail) == [State.FAILED, State.QUEUED]


def test_retry_does_not_preselect_cancelled_recipients(as_anna: Client, mail: Message) -> None:
    jane, joe = set_states(mail, State.FAILED, State.CANCELLED)
    page = question(as_anna, "retry", mail)
    assert f'value="{jane.pk}" checked' in page
    assert f'value="{joe.pk}">' in page
    perform(as_anna, "retry", mail, recipients=[joe.pk])
    assert states(mail) == [State.FAILED, State.QUEUED]


def test_retry_does_not_preselect_uncertain_recipients_beside_others(
    as_anna: Client, mail: Message
) -> None:
    jane, joe = set_states(mail, State.UNCERTAIN, State.FAILED)
    page = question(as_anna, "retry", mail)
    assert f'value="{jane.pk}">' in page
    assert f'value="{joe.pk}" checked' in page
    assert "only if you select them" in page
    assert "a retry delivers a second copy" in page
    perform(as_anna, "retry", mail, recipients=[jane.pk, joe.pk])
    assert states(mail) == [State.DEFERRED, State.QUEUED]


@pytest.mark.parametrize("state", [State.UNCERTAIN, State.CANCELLED])
def test_retry_preselects_the_recipients_if_no_other_can_be_retried(
    as_anna: Client, mail: Message, state: State
) -> None:
    jane, _joe = set_states(mail, state, State.SENT)
    page = question(as_anna, "retry", mail)
    assert f'value="{jane.pk}" checked' in page
    assert "only if you select them" not in page
    assert ("a retry delivers a second copy" in page) == (state == State.UNCERTAIN)


def test_a_selection_of_recipients_is_not_mentioned_where_none_needs_it(
    as_anna: Client, mail: Message
) -> None:
    set_states(mail, State.FAILED, State.FAILED)
    assert "only if you select them" not in question(as_anna, "retry", mail)


def test_retry_of_a_recipient_that_was_sent_in_the_meantime_changes_nothing(
    as_anna: Client, mail: Message
) -> None:
    jane, _joe = set_states(mail, State.SENT, State.SENT)
    assert perform(as_anna, "retry", mail, recipients=[jane.pk]) == [NOTHING_DONE]
    assert states(mail) == [State.SENT] * 2


def test_retry_requires_a_recipient(as_anna: Client, mail: Message) -> None:
    set_states(mail, State.FAILED, State.FAILED)
    response = as_anna.post(reverse("outbox:retry", args=[mail.pk]), {})
    assert response.status_code == 422
    assert b"Choose at least one recipient" in response.content


def test_a_recipient_of_another_message_is_not_accepted(
    as_anna: Client, mail: Message, draft: Message
) -> None:
    other = api.send_draft(draft, actor=draft.owner)  # type: ignore[arg-type]  # Anna's
    foreign = set_states(other, State.FAILED)[0]
    response = as_anna.post(reverse("outbox:retry", args=[mail.pk]), {"recipients": [foreign.pk]})
    assert response.status_code == 422
    assert states(other) == [State.FAILED]


@pytest.mark.parametrize(
    ("action", "state", "reported"),
    [
        ("mark-sent", State.SENT, "Marked as sent: 1 recipient."),
        ("retry", State.DEFERRED, "Queued again: 1 recipient."),
    ],
)
def test_an_uncertain_recipient_is_resolved_as_the_user_decides(
    as_anna: Client, mail: Message, action: str, state: State, reported: str
) -> None:
    jane, _joe = set_states(mail, State.UNCERTAIN, State.SENT)
    assert "jane@example.com" in question(as_anna, action, mail)
    assert perform(as_anna, action, mail, recipients=[jane.pk]) == [reported]
    assert states(mail) == [state, State.SENT]


@pytest.mark.parametrize("action", ["mark-sent", "retry"])
def test_no_recipient_is_resolved_unless_it_is_selected(
    as_anna: Client, mail: Message, action: str
) -> None:
    set_states(mail, State.UNCERTAIN, State.SENT)
    response = as_anna.post(reverse(f"outbox:{action}", args=[mail.pk]), {})
    assert response.status_code == 422
    assert states(mail) == [State.UNCERTAIN, State.SENT]


def test_hold_stops_waiting_recipients_and_shows_the_reason(as_anna: Client, mail: Message) -> None:
    set_states(mail, State.DEFERRED, State.SENDING)
    assert "1 recipient: 1 deferred." in question(as_anna, "hold", mail)
    assert perform(as_anna, "hold", mail, why="Wrong list") == ["Delivery held: 1 recipient."]
    assert states(mail) == [State.HELD, State.SENDING]
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    assert '<p class="reason">Wrong list</p>' in page


def test_hold_of_a_sent_message_reports_that_nothing_was_done(
    as_anna: Client, mail: Message
) -> None:
    set_states(mail, State.SENT, State.SENDING)
    assert perform(as_anna, "hold", mail, why="") == [NOTHING_DONE]
    assert states(mail) == [State.SENT, State.SENDING]


def test_release_returns_held_recipients_to_the_queue(as_anna: Client, mail: Message) -> None:
    set_states(mail, State.HELD, State.HELD)
    assert "2 recipients: 2 held." in question(as_anna, "release", mail)
    assert perform(as_anna, "release", mail) == ["Delivery released: 2 recipients."]
    assert states(mail) == [State.QUEUED] * 2


def test_the_question_in_a_dialog_is_a_fragment(as_anna: Client, mail: Message) -> None:
    response = as_anna.get(reverse("outbox:cancel", args=[mail.pk]), HTTP_HX_REQUEST="true")
    assert b"<html" not in response.content
    assert "HX-Request" in response["Vary"]


@pytest.mark.parametrize("action", RECIPIENT_ACTIONS)
def test_a_draft_has_no_actions_on_recipients(as_anna: Client, draft: Message, action: str) -> None:
    assert as_anna.post(reverse(f"outbox:{action}", args=[draft.pk])).status_code == 404
