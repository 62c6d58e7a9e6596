"""Reminders of sent messages without a reply."""

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.models import InboundKind, Message, ReplyReminder
from tests.integration.web.conftest import signed_in
from tests.received import letter, receive

pytestmark = pytest.mark.every_database

INBOX = reverse("outbox:inbox")
NOTICE = "No reply to “Figures” after 3 days."


@pytest.fixture
def due(mail: Message, as_anna: Client) -> ReplyReminder:
    """A reminder whose time has come, of a message to Jane."""
    as_anna.post(reverse("outbox:remind", args=[mail.pk]), {"days": "3"})
    ReplyReminder.objects.update(remind_at=timezone.now() - dt.timedelta(minutes=1))
    return ReplyReminder.objects.get()


def test_it_is_set_from_the_time_of_sending(as_anna: Client, mail: Message) -> None:
    page = as_anna.post(reverse("outbox:remind", args=[mail.pk]), {"days": "3"}, follow=True)
    row = ReplyReminder.objects.get()
    assert mail.queued_at is not None
    assert row.remind_at == mail.queued_at + dt.timedelta(days=3)
    assert "Remove reminder" in page.content.decode()
    assert "No reply" not in as_anna.get(INBOX).content.decode()


def test_a_due_one_is_on_every_page_until_it_is_dismissed(
    as_anna: Client, due: ReplyReminder
) -> None:
    for page in (INBOX, reverse("outbox:list"), reverse("outbox:contacts")):
        assert NOTICE in as_anna.get(page).content.decode()
    url = reverse("outbox:forget-reminder", args=[due.pk])
    after = as_anna.post(url, {"back": INBOX}, follow=True)
    assert after.redirect_chain == [(INBOX, 302)]
    assert NOTICE not in after.content.decode()
    assert not ReplyReminder.objects.exists()


@pytest.mark.parametrize(
    ("kind", "ends"), [("message", True), ("auto-reply", False), ("bounce", False)]
)
def test_only_a_reply_ends_it(
    as_anna: Client, anna: User, due: ReplyReminder, kind: InboundKind, *, ends: bool
) -> None:
    receive(anna, letter("Re: Figures"), kind=kind, replies_to=due.message)
    assert (NOTICE in as_anna.get(INBOX).content.decode()) is not ends
    # The next reminder that is set removes those that have a reply.
    as_anna.post(reverse("outbox:remind", args=[due.pk]), {"days": "0"})
    assert ReplyReminder.objects.exists() is not ends


@pytest.mark.parametrize("days", ["", "0", "366", "-1", "x", "9" * 30])
def test_other_numbers_of_days_are_rejected(as_anna: Client, mail: Message, days: str) -> None:
    page = as_anna.post(reverse("outbox:remind", args=[mail.pk]), {"days": days}, follow=True)
    assert "Enter a number of days from 1 to 365." in page.content.decode()
    assert not ReplyReminder.objects.exists()


def test_old_messages_get_all_days(as_anna: Client, mail: Message) -> None:
    Message.objects.update(queued_at=timezone.now() - dt.timedelta(days=30), send_at=None)
    as_anna.post(reverse("outbox:remind", args=[mail.pk]), {"days": "3"})
    assert ReplyReminder.objects.get().remind_at > timezone.now() + dt.timedelta(days=2)


def test_it_is_of_the_owner_only(carl: User, mail: Message, due: ReplyReminder) -> None:
    client = signed_in(carl)
    for name in ("remind", "forget-reminder"):
        assert client.post(reverse(f"outbox:{name}", args=[mail.pk])).status_code == 404
    assert NOTICE not in client.get(INBOX).content.decode()
    assert ReplyReminder.objects.exists()
