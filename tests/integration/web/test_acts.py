"""Cancel, retry, settle, hold, release: asked about first, done by POST, answered truly."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import Attempt, Event, EventKind, Message, Recipient, State, Status
from outbox.models.rollup import roll_up


def put(mail: Message, *states: State) -> list[Recipient]:
    """Bring the recipients into these states."""
    recipients = list(mail.recipients.order_by("pk"))
    for recipient, state in zip(recipients, states, strict=True):
        Recipient.objects.filter(pk=recipient.pk).update(state=state)
    roll_up([mail.pk], timezone.now(), "default")
    return recipients


def ask(client: Client, act: str, mail: Message) -> str:
    answer = client.get(reverse(f"outbox:{act}", args=[mail.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def do(client: Client, act: str, mail: Message, **fields: object) -> list[str]:
    answer = client.post(reverse(f"outbox:{act}", args=[mail.pk]), fields)
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)]


def states(mail: Message) -> list[str]:
    return list(mail.recipients.order_by("pk").values_list("state", flat=True))


@pytest.mark.parametrize("act", ["cancel", "retry", "settle", "hold", "release"])
def test_asking_changes_nothing(as_anna: Client, mail: Message, act: str) -> None:
    before = states(mail)
    ask(as_anna, act, mail)
    assert states(mail) == before
    assert not Event.objects.exclude(kind=EventKind.QUEUED).exists()


def test_cancel_stops_what_waits_and_says_for_how_many(as_anna: Client, mail: Message) -> None:
    assert "2 recipients" in ask(as_anna, "cancel", mail)
    assert do(as_anna, "cancel", mail, why="Wrong file") == ["Cancelled for 2 recipients."]
    assert states(mail) == [State.CANCELLED] * 2
    mail.refresh_from_db()
    assert mail.status == Status.CANCELLED
    assert set(Event.objects.filter(kind="cancelled").values_list("why", "actor__username")) == {
        ("Wrong file", "anna")
    }


def test_cancel_that_comes_too_late_says_so(as_anna: Client, mail: Message) -> None:
    put(mail, State.SENDING, State.QUEUED)
    attempt = Attempt.objects.create(
        message=mail, started_at=timezone.now(), dot_marked_at=timezone.now()
    )
    mail.recipients.filter(state=State.SENDING).update(attempt=attempt)
    assert do(as_anna, "cancel", mail, why="") == [
        "Cancelled for 1 recipient.",
        "Too late for 1 recipient: the message was already being sent.",
    ]
    assert states(mail) == [State.SENDING, State.CANCELLED]


def test_cancel_of_a_sent_mail_stops_nothing_and_says_so(as_anna: Client, mail: Message) -> None:
    put(mail, State.SENT, State.SENT)
    assert do(as_anna, "cancel", mail, why="") == [
        "No delivery was pending, so nothing was cancelled."
    ]


def test_retry_queues_only_whom_one_chose(as_anna: Client, mail: Message) -> None:
    _jane, joe = put(mail, State.FAILED, State.FAILED)
    assert "jane@example.com" in ask(as_anna, "retry", mail)
    assert do(as_anna, "retry", mail, recipients=[joe.pk]) == ["Queued again for 1 recipient."]
    assert states(mail) == [State.FAILED, State.QUEUED]


def test_retry_ticks_no_cancelled_recipient(as_anna: Client, mail: Message) -> None:
    jane, joe = put(mail, State.FAILED, State.CANCELLED)
    page = ask(as_anna, "retry", mail)
    assert f'value="{jane.pk}" checked' in page
    assert f'value="{joe.pk}">' in page
    do(as_anna, "retry", mail, recipients=[joe.pk])  # chosen by name
    assert states(mail) == [State.FAILED, State.QUEUED]


def test_retry_of_what_went_on_meanwhile_changes_nothing(as_anna: Client, mail: Message) -> None:
    jane, _joe = put(mail, State.SENT, State.SENT)
    assert do(as_anna, "retry", mail, recipients=[jane.pk]) == [
        "The message has changed state. Nothing was done."
    ]
    assert states(mail) == [State.SENT] * 2


def test_retry_wants_somebody_chosen(as_anna: Client, mail: Message) -> None:
    put(mail, State.FAILED, State.FAILED)
    answer = as_anna.post(reverse("outbox:retry", args=[mail.pk]), {})
    assert answer.status_code == 422
    assert b"Choose at least one recipient" in answer.content


def test_a_recipient_of_another_mail_cannot_be_named(
    as_anna: Client, mail: Message, draft: Message
) -> None:
    from outbox import api

    other = api.send_draft(draft, actor=draft.owner)  # type: ignore[arg-type]  # Anna's
    foreign = put(other, State.FAILED)[0]
    answer = as_anna.post(reverse("outbox:retry", args=[mail.pk]), {"recipients": [foreign.pk]})
    assert answer.status_code == 422
    assert states(other) == [State.FAILED]


@pytest.mark.parametrize(
    ("said", "state", "answer"),
    [
        ("sent", State.SENT, "Marked as delivered for 1 recipient."),
        ("unsent", State.DEFERRED, "Will be sent again to 1 recipient."),
    ],
)
def test_settle_believes_the_person(
    as_anna: Client, mail: Message, said: str, state: State, answer: str
) -> None:
    jane, _joe = put(mail, State.UNCERTAIN, State.SENT)
    fields = {"recipients": [jane.pk], "do": said}
    assert do(as_anna, "settle", mail, **fields) == [answer]
    assert states(mail) == [state, State.SENT]


@pytest.mark.parametrize("said", ["", "maybe"])
def test_settle_guesses_nothing(as_anna: Client, mail: Message, said: str) -> None:
    jane, _joe = put(mail, State.UNCERTAIN, State.SENT)
    answer = as_anna.post(
        reverse("outbox:settle", args=[mail.pk]), {"recipients": [jane.pk], "do": said}
    )
    assert answer.status_code == 400
    assert states(mail) == [State.UNCERTAIN, State.SENT]


def test_hold_keeps_back_what_waits_and_shows_why(as_anna: Client, mail: Message) -> None:
    put(mail, State.DEFERRED, State.SENDING)
    assert "1 waiting recipient" in ask(as_anna, "hold", mail)
    said = do(as_anna, "hold", mail, why="Wrong list")
    assert said == ["Held for 1 recipient."]
    assert states(mail) == [State.HELD, State.SENDING]
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    assert '<p class="reason">Wrong list</p>' in page


def test_hold_of_what_went_on_meanwhile_says_so(as_anna: Client, mail: Message) -> None:
    put(mail, State.SENT, State.SENDING)
    assert do(as_anna, "hold", mail, why="") == ["The message has changed state. Nothing was done."]
    assert states(mail) == [State.SENT, State.SENDING]


def test_release_lets_held_mail_go(as_anna: Client, mail: Message) -> None:
    put(mail, State.HELD, State.HELD)
    assert "2 held recipients" in ask(as_anna, "release", mail)
    assert do(as_anna, "release", mail) == ["Released for 2 recipients."]
    assert states(mail) == [State.QUEUED] * 2


def test_a_question_in_a_dialog_is_a_fragment(as_anna: Client, mail: Message) -> None:
    answer = as_anna.get(reverse("outbox:cancel", args=[mail.pk]), HTTP_HX_REQUEST="true")
    assert b"<html" not in answer.content
    assert "HX-Request" in answer["Vary"]


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (State.QUEUED, {"cancel", "hold"}),
        (State.SENDING, {"cancel"}),
        (State.DEFERRED, {"cancel", "retry", "hold"}),
        (State.HELD, {"cancel", "release"}),
        (State.UNCERTAIN, {"settle"}),
        (State.SENT, set()),
        (State.FAILED, {"retry"}),
        (State.EXPIRED, {"retry"}),
        (State.BOUNCED, {"retry"}),
        (State.CANCELLED, {"retry"}),
    ],
)
def test_only_acts_that_can_do_something_are_offered(
    as_anna: Client, mail: Message, state: State, offered: set[str]
) -> None:
    put(mail, state, state)
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    acts = {"cancel", "retry", "settle", "hold", "release"}
    assert {act for act in acts if f'id="act-{act}"' in page} == offered


@pytest.mark.parametrize("act", ["cancel", "retry", "settle", "hold", "release"])
def test_a_draft_has_nothing_to_act_on(as_anna: Client, draft: Message, act: str) -> None:
    assert as_anna.post(reverse(f"outbox:{act}", args=[draft.pk])).status_code == 404
