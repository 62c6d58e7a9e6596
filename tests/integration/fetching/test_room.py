"""The quota on received messages: fetching pauses without a loss, and resumes."""

from __future__ import annotations

import datetime as dt

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from outbox.api import Handle
from outbox.api.mailbox_notices import notify_owners_of_mailboxes, paused_mailboxes
from outbox.inbound import session
from outbox.inbound.fetch import fetch_mailbox
from outbox.models import (
    InboundMessage,
    InboundSource,
    Mailbox,
    Message,
    OnServer,
    Quota,
    ServerMessage,
)
from outbox.models.removal import delete_received
from outbox.reasons import ReasonCode
from tests.integration.api.reading import read
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PopServer

pytestmark = [pytest.mark.django_db, pytest.mark.every_database]

SIZE = len(message(1))


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch, server: PopServer) -> None:
    """Request one message at a time, of a mailbox that has three."""
    monkeypatch.setattr(session, "_CHUNK", 1)
    server.mailbox.messages |= {f"u{number}": message(number) for number in range(1, 4)}


def limit(settings: LazySettings, size: int) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_INBOX_BYTES": size}


def fetched(mailbox: Mailbox) -> Mailbox:
    fetch_mailbox(mailbox.pk)
    return Mailbox.objects.select_related("account").get(pk=mailbox.pk)


def subjects() -> list[str]:
    return sorted(InboundMessage.objects.values_list("subject", flat=True))


def test_fetching_pauses_and_resumes(
    settings: LazySettings, server: PopServer, mailbox: Mailbox
) -> None:
    Mailbox.objects.update(on_server=OnServer.DELETE)
    limit(settings, 2 * SIZE)
    paused = fetched(mailbox)
    assert subjects() == ["Number 2", "Number 3"], "the newest messages are fetched first"
    assert list(server.mailbox.messages) == ["u1"], "what was not fetched stays on the server"
    assert (paused.reason.code, paused.lacks_room) == (ReasonCode.INBOX_FULL, True)
    assert paused.fetched_at is None
    assert paused.next_fetch_at is not None

    assert fetched(mailbox).lacks_room
    assert server.mailbox.commands["RETR"] == 2, "nothing is downloaded without room"

    delete_received([InboundMessage.objects.latest("pk").pk], "default")
    resumed = fetched(mailbox)
    assert "Number 1" in subjects()
    assert not resumed.reason
    assert resumed.fetched_at is not None


def test_nothing_old_is_deleted_while_there_is_no_room(
    settings: LazySettings, server: PopServer, mailbox: Mailbox
) -> None:
    limit(settings, SIZE)
    fetched(mailbox)
    Mailbox.objects.update(on_server=OnServer.KEEP_DAYS, keep_days=1)
    ServerMessage.objects.update(seen_at=mailbox.created_at - dt.timedelta(days=9))
    assert fetched(mailbox).lacks_room
    assert len(server.mailbox.messages) == 3


def test_there_is_no_notice_if_nothing_is_new(settings: LazySettings, mailbox: Mailbox) -> None:
    fetched(mailbox)
    limit(settings, SIZE)
    assert not fetched(mailbox).reason


def test_staff_set_another_limit_for_one_user(settings: LazySettings, mailbox: Mailbox) -> None:
    limit(settings, SIZE)
    owner = mailbox.account.owner
    assert owner is not None
    Quota.objects.create(user=owner, max_inbox_bytes=3 * SIZE)
    assert not fetched(mailbox).reason
    assert len(subjects()) == 3


def test_the_sum_is_computed_once_an_hour(
    settings: LazySettings, server: PopServer, mailbox: Mailbox
) -> None:
    limit(settings, 9 * SIZE)
    fetched(mailbox)
    Mailbox.objects.update(inbox_sum=None)
    server.mailbox.messages["u4"] = message(4)
    last = fetched(mailbox).inbox_sum["last"]
    # A sum of all messages would find this.
    assert InboundMessage.objects.filter(pk__lte=last).update(size=9 * SIZE) == 3
    server.mailbox.messages["u6"] = message(6)
    known = fetched(mailbox)
    assert "Number 6" in subjects()
    known.inbox_sum["at"] = (timezone.now() - dt.timedelta(minutes=61)).isoformat()
    known.save()
    server.mailbox.messages["u5"] = message(5)
    assert fetched(mailbox).lacks_room


def test_what_was_stored_since_the_sum_counts(
    settings: LazySettings, server: PopServer, mailbox: Mailbox
) -> None:
    limit(settings, 9 * SIZE)
    fetched(mailbox)
    owner = mailbox.account.owner
    other = InboundMessage.objects.create(owner=owner, size=9 * SIZE, received_at=timezone.now())
    server.mailbox.messages["u4"] = message(4)
    assert not fetched(mailbox).lacks_room, "its content was removed"
    InboundSource.objects.create(message=other, data=b"")
    server.mailbox.messages["u5"] = message(5)
    assert fetched(mailbox).lacks_room


def test_the_sum_of_another_owner_is_not_used(
    settings: LazySettings, server: PopServer, mailbox: Mailbox
) -> None:
    limit(settings, 3 * SIZE)
    fetched(mailbox)
    account = mailbox.account
    account.owner = User.objects.create_user("ben")
    account.save()
    server.mailbox.messages["u4"] = message(4)
    known = fetched(mailbox)
    assert not known.reason
    assert (known.inbox_sum["owner"], known.inbox_sum["bytes"]) == (str(account.owner.pk), 0)


def test_a_full_inbox_does_not_count_as_a_fault(settings: LazySettings, mailbox: Mailbox) -> None:
    """The first fault after it is followed by the shortest wait."""
    limit(settings, SIZE)
    fetched(mailbox)
    assert [fetched(mailbox).failures for _ in range(2)] == [0, 0]


def test_messages_without_an_owner_have_no_limit(settings: LazySettings, mailbox: Mailbox) -> None:
    mailbox.account.owner = None
    mailbox.account.save()
    limit(settings, 1)
    assert not fetched(mailbox).reason
    assert len(subjects()) == 3


def test_the_owner_is_notified_once_and_sees_why(
    settings: LazySettings, mailbox: Mailbox, client: Client
) -> None:
    limit(settings, SIZE)
    paused = fetched(mailbox)
    owner = paused.account.owner
    assert owner is not None
    assert list(paused_mailboxes(owner)) == [paused]
    type(owner).objects.filter(pk=owner.pk).update(email="ann@example.com")
    assert [notify_owners_of_mailboxes("default") for _ in range(2)] == [1, 0]
    report = Message.objects.get()
    assert "No room for received messages" in report.subject
    text = read(Handle(report.pk)).get_content()
    assert "until you delete received messages" in text
    assert "check" not in text
    client.force_login(owner)
    page = client.get(reverse("outbox:account-mailbox", args=[paused.pk])).content.decode()
    assert "New messages are not fetched until there is room for them." in page
    assert "Delete received messages permanently to make room." in page
    assert "No messages are fetched for" in client.get(reverse("outbox:inbox")).content.decode()
    limit(settings, 9 * SIZE)
    assert fetched(mailbox).notified_at is None
    assert "No messages are fetched for" not in client.get(reverse("outbox:inbox")).content.decode()
