"""Undo: for some seconds after Send the message can be taken back, and the server alone decides."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.models import Account, Message, Preferences, Recipient, Source, State, Status
from tests.integration.web.conftest import typed
from tests.states import set_state


@pytest.fixture
def patient(anna: User) -> Preferences:
    """Anna wants ten seconds."""
    return Preferences.objects.create(user=anna, undo_period=10)


def send(client: Client, account: Account, **fields: str) -> Message:
    client.post(reverse("outbox:compose"), typed(account, send="1", **fields))
    return Message.objects.get()


@pytest.mark.usefixtures("patient")
def test_a_message_waits_for_the_time_its_writer_chose(as_anna: Client, account: Account) -> None:
    mail = send(as_anna, account)
    assert mail.status == Status.SCHEDULED
    waits = mail.recipients.get().next_attempt_at - timezone.now()  # type: ignore[operator]  # it has one
    assert dt.timedelta(seconds=5) < waits <= dt.timedelta(seconds=10)
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    assert "You can still undo" in page
    assert reverse("outbox:undo", args=[mail.pk]) in page


@pytest.mark.usefixtures("patient")
def test_undo_gives_the_message_back_as_a_draft_of_the_same_row(
    as_anna: Client, account: Account
) -> None:
    mail = send(as_anna, account, bcc="boss@example.com", text="Dear Jane")
    response = as_anna.post(reverse("outbox:undo", args=[mail.pk]), follow=True)
    assert response.redirect_chain[0][0] == reverse("outbox:draft", args=[mail.pk])
    assert "Sending undone. Your message is back in Drafts." in response.content.decode()
    draft = Message.objects.get()
    assert (draft.pk, draft.status, draft.send_at) == (mail.pk, Status.DRAFT, None)
    assert draft.draft.text == "Dear Jane"
    assert not Recipient.objects.exists()
    assert not Source.objects.exists()
    assert [event.kind for event in draft.events.all()] == ["queued", "cancelled"]


@pytest.mark.usefixtures("patient")
def test_what_was_taken_back_can_be_sent_again(as_anna: Client, account: Account) -> None:
    mail = send(as_anna, account)
    as_anna.post(reverse("outbox:undo", args=[mail.pk]))
    fields = typed(account, version="1", subject="Second thoughts", send="1")
    as_anna.post(reverse("outbox:draft", args=[mail.pk]), fields)
    mail = Message.objects.get()
    assert (mail.subject, mail.status) == ("Second thoughts", Status.SCHEDULED)
    assert mail.recipients.get().state == State.QUEUED


@pytest.mark.parametrize("state", [State.SENDING, State.SENT])
@pytest.mark.usefixtures("patient")
def test_undo_says_when_it_is_too_late(as_anna: Client, account: Account, state: State) -> None:
    mail = send(as_anna, account)
    set_state(mail.recipients, state, attempts=1)
    response = as_anna.post(reverse("outbox:undo", args=[mail.pk]), follow=True)
    assert "Too late" in response.content.decode()
    assert mail.recipients.get().state == state
    assert Source.objects.exists()


@pytest.mark.usefixtures("patient")
def test_a_message_that_left_for_some_stays_a_message(
    as_anna: Client, anna: User, account: Account
) -> None:
    mail = send(as_anna, account, to="jane@example.com, joe@example.org")
    set_state(mail.recipients.filter(address="joe@example.org"), State.SENT, attempts=1)
    result = api.take_back(mail, actor=anna)
    assert (result.stopped, result.too_late) == (1, 0)
    assert Message.objects.get().status == Status.PARTIAL
    assert mail.recipients.count() == 2


@pytest.mark.usefixtures("patient")
def test_undo_pressed_twice_leads_to_the_draft(as_anna: Client, account: Account) -> None:
    mail = send(as_anna, account)
    address = reverse("outbox:undo", args=[mail.pk])
    as_anna.post(address)
    assert as_anna.post(address)["Location"] == reverse("outbox:draft", args=[mail.pk])


def test_without_time_to_undo_nothing_offers_it(as_anna: Client, account: Account) -> None:
    mail = send(as_anna, account)
    page = as_anna.get(reverse("outbox:message", args=[mail.pk])).content.decode()
    assert mail.status == Status.QUEUED
    assert reverse("outbox:undo", args=[mail.pk]) not in page
