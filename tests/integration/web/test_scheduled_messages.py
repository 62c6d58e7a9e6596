"""A scheduled message: send it now, change its time, edit it."""

import datetime as dt
import email
from email.utils import parsedate_to_datetime

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import (
    Account,
    Event,
    EventKind,
    Message,
    Preferences,
    Recipient,
    Source,
    State,
    Status,
)
from tests.integration.web.conftest import signed_in, typed
from tests.states import set_state

pytestmark = pytest.mark.every_database

ACTIONS = ("send-now", "change-time", "edit")
NEXT_YEAR = dt.datetime(2071, 7, 1, 9, 0, tzinfo=dt.UTC)
LATER = "2071-07-02T09:00"


@pytest.fixture
def scheduled(as_anna: Client, anna: User, account: Account) -> Message:
    """A message of Anna to two recipients that is scheduled for 2071."""
    Preferences.objects.create(user=anna, time_zone="UTC", undo_period=0)
    as_anna.post(
        reverse("outbox:compose"),
        typed(
            account, to="jane@example.com, joe@example.org", send_at="2071-07-01T09:00", send="1"
        ),
    )
    message = Message.objects.get()
    assert message.status == Status.SCHEDULED
    return message


def press(client: Client, action: str, message: Message, **fields: str) -> str:
    """Press a button and return the address it redirects to."""
    response = client.post(reverse(f"outbox:{action}", args=[message.pk]), fields)
    assert response.status_code == 302
    return str(response["Location"])


def date_of(message: Message) -> dt.datetime:
    source = Source.objects.get(message=message)
    return parsedate_to_datetime(email.message_from_bytes(source.read())["Date"])


def kinds(message: Message) -> list[str]:
    return list(Event.objects.filter(message=message).values_list("kind", flat=True))


def test_the_page_has_the_buttons(as_anna: Client, scheduled: Message) -> None:
    page = as_anna.get(reverse("outbox:message", args=[scheduled.pk])).content.decode()
    for action in ACTIONS:
        assert reverse(f"outbox:{action}", args=[scheduled.pk]) in page


def test_send_now_makes_the_message_due_with_the_present_date(
    as_anna: Client, scheduled: Message
) -> None:
    press(as_anna, "send-now", scheduled)
    message = Message.objects.get()
    assert message.status == Status.QUEUED
    now = timezone.now()
    for recipient in message.recipients.all():
        assert recipient.next_attempt_at is not None
        assert recipient.next_attempt_at <= now
        assert recipient.expires_at == message.expires_at
    assert message.expires_at is not None
    assert dt.timedelta(days=4) < message.expires_at - now < dt.timedelta(days=6)
    assert abs(date_of(message) - now) < dt.timedelta(minutes=1)
    source = Source.objects.get()
    assert message.size == len(source.read())
    assert source.sha256 == api_sha256(source.read())
    assert kinds(message) == [EventKind.QUEUED, EventKind.RESCHEDULED]


def api_sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def test_send_now_can_be_undone(as_anna: Client, scheduled: Message) -> None:
    Preferences.objects.update(undo_period=10)
    press(as_anna, "send-now", scheduled)
    message = Message.objects.get()
    assert message.waits_for_undo
    press(as_anna, "undo", scheduled)
    assert Message.objects.get().is_draft


def test_change_time_moves_the_expiry_and_the_date_header(
    as_anna: Client, scheduled: Message
) -> None:
    lifetime = scheduled.expires_at - scheduled.send_at  # type: ignore[operator]  # both are set
    press(as_anna, "change-time", scheduled, send_at=LATER)
    message = Message.objects.get()
    moved = NEXT_YEAR + dt.timedelta(days=1)
    assert (message.status, message.send_at) == (Status.SCHEDULED, moved)
    assert message.expires_at == moved + lifetime
    times = message.recipients.values_list("next_attempt_at", "expires_at")
    assert list(times) == [(moved, moved + lifetime)] * 2
    assert date_of(message) == moved
    assert kinds(message) == [EventKind.QUEUED, EventKind.RESCHEDULED]


def test_change_time_accepts_a_preset(as_anna: Client, scheduled: Message) -> None:
    page = as_anna.get(reverse("outbox:change-time", args=[scheduled.pk])).content.decode()
    assert 'value="2071-07-01T09:00"' in page
    press(as_anna, "change-time", scheduled, preset="tomorrow", send_at="2071-07-01T09:00")
    message = Message.objects.get()
    assert message.send_at is not None
    tomorrow = timezone.now() + dt.timedelta(days=1)
    assert (message.send_at.date(), message.send_at.hour) == (tomorrow.date(), 9)


@pytest.mark.parametrize(
    "at", ["", "soon", "2001-01-01T09:00", "9999-12-31T23:59", "0001-01-01T00:00", "\0"]
)
def test_an_invalid_time_is_an_error_of_the_field(
    as_anna: Client, scheduled: Message, at: str
) -> None:
    response = as_anna.post(reverse("outbox:change-time", args=[scheduled.pk]), {"send_at": at})
    assert response.status_code == 422
    assert response.context["form"].errors["send_at"]
    assert Message.objects.get().send_at == NEXT_YEAR


def test_edit_returns_the_message_to_the_drafts_with_its_time(
    as_anna: Client, scheduled: Message
) -> None:
    assert press(as_anna, "edit", scheduled) == reverse("outbox:draft", args=[scheduled.pk])
    draft = Message.objects.get()
    assert (draft.status, draft.folder, draft.send_at) == (Status.DRAFT, "drafts", NEXT_YEAR)
    assert not Recipient.objects.exists()
    assert not Source.objects.exists()
    assert kinds(draft) == [EventKind.QUEUED, EventKind.REOPENED]
    page = as_anna.get(reverse("outbox:draft", args=[draft.pk]))
    assert page.context["form"]["to"].value() == "jane@example.com, joe@example.org"
    fields = typed(draft.account, send_at=LATER, version=str(page.context["version"]), send="1")
    as_anna.post(reverse("outbox:draft", args=[draft.pk]), fields)
    again = Message.objects.get()
    assert again.status == Status.SCHEDULED
    assert [one.address for one in again.recipients.all()] == ["jane@example.com"]


def test_a_second_edit_opens_the_draft(as_anna: Client, scheduled: Message) -> None:
    for _ in range(2):
        assert press(as_anna, "edit", scheduled) == reverse("outbox:draft", args=[scheduled.pk])


def facts_of_messages() -> list[tuple[object, ...]]:
    return list(Message.objects.values_list("pk", "status", "send_at", "expires_at", "size"))


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_message_that_is_not_scheduled_any_more_is_not_changed(
    as_anna: Client, scheduled: Message, action: str, state: State
) -> None:
    set_state(Recipient.objects.filter(address="jane@example.com"), state)
    if state == State.CANCELLED:  # the other one still waits
        set_state(Recipient.objects, state)
    before = list(Recipient.objects.values()), facts_of_messages()
    response = as_anna.post(reverse(f"outbox:{action}", args=[scheduled.pk]), {"send_at": LATER})
    assert [str(one) for one in get_messages(response.wsgi_request)] == [
        "Too late: the message is no longer scheduled. Nothing was changed."
    ]
    assert (list(Recipient.objects.values()), facts_of_messages()) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_only_the_owner_is_permitted(scheduled: Message, ben: User, action: str) -> None:
    admin = User.objects.create_superuser("root")
    for person in (ben, admin):
        address = reverse(f"outbox:{action}", args=[scheduled.pk])
        assert signed_in(person).post(address, {"send_at": LATER}).status_code == 404
    assert Client().post(address, {"send_at": LATER}).status_code == 302  # to sign in
    assert Message.objects.get().send_at == NEXT_YEAR


@pytest.mark.parametrize("action", ["send-now", "edit"])
def test_a_get_request_changes_nothing(as_anna: Client, scheduled: Message, action: str) -> None:
    assert as_anna.get(reverse(f"outbox:{action}", args=[scheduled.pk])).status_code == 405


def test_a_message_of_an_app_can_be_rescheduled_but_not_edited(
    as_anna: Client, anna: User, account: Account
) -> None:
    handle = api.send(
        to="jane@example.com", subject="x", text="x", account=account, owner=anna,
        send_at=NEXT_YEAR,
    )  # fmt: skip
    message = handle.message()
    page = as_anna.get(reverse("outbox:message", args=[message.pk])).content.decode()
    assert reverse("outbox:send-now", args=[message.pk]) in page
    assert reverse("outbox:edit", args=[message.pk]) not in page
    press(as_anna, "edit", message)
    assert handle.message().status == Status.SCHEDULED
    press(as_anna, "send-now", message)
    assert handle.message().status == Status.QUEUED


def test_the_date_of_a_large_source_changes_too(
    as_anna: Client,
    scheduled: Message,
    settings: object,
    django_capture_on_commit_callbacks: object,
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}  # type: ignore[attr-defined]
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        api.reschedule(scheduled, NEXT_YEAR + dt.timedelta(days=2))
        api.reschedule(scheduled, NEXT_YEAR + dt.timedelta(days=3))
    source = Source.objects.get()
    assert source.data is None
    assert date_of(scheduled) == NEXT_YEAR + dt.timedelta(days=3)
    assert source.sha256 == api_sha256(source.read())


def test_cancel_explains_the_alternative(as_anna: Client, scheduled: Message) -> None:
    page = as_anna.get(reverse("outbox:cancel", args=[scheduled.pk])).content.decode()
    assert "It moves to Cancelled. To change the message instead, choose Edit." in page
