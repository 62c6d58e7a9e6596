"""Fetched messages are found by the search, and no longer after they were erased or expired."""

import datetime as dt
import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from outbox.api import erasure
from outbox.db.clock import database_now
from outbox.delivery.retention import Pass, totals
from outbox.delivery.sweep import sweep
from outbox.inbound.fetch import fetch_mailbox
from outbox.inbound.storing import store_received
from outbox.models import InboundEntry, InboundMessage, Mailbox, inbound_search
from outbox.models.inbound_search import index_new_received
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PopServer
from tests.integration.inbound.returned import bounce, sent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


def found(user: User, line: str) -> list[str]:
    """Return the subjects that the user's search for received messages finds."""
    client = Client()
    client.force_login(user)
    page = client.get(reverse("outbox:search"), {"q": line})
    return [row.message.subject for row in page.context["list"].rows]


def terms_of(stored: InboundMessage) -> str:
    entry = InboundEntry.objects.get(pk=stored.pk)
    return " ".join([*entry.head, *entry.body])


def test_a_fetched_message_is_found(server: PopServer, mailbox: Mailbox, owner: User) -> None:
    server.mailbox.messages = {"a": message(1, body="Friday"), "b": message(2, body="Monday")}
    fetch_mailbox(mailbox.pk)
    assert found(owner, "friday") == ["Number 1"]
    assert found(owner, "from:bob@example.com body:monday") == ["Number 2"]


def test_what_a_bounce_quotes_of_a_sensitive_message_is_not_found(
    mailbox: Mailbox, owner: User
) -> None:
    about = sent(mailbox.account, is_sensitive=True)
    quoting = bounce(message_id=about.message_id).replace(b"mail system at host", b"swordfish")
    stored = store_received(mailbox, quoting)
    assert "swordfish" not in terms_of(stored)
    assert found(owner, "swordfish") == []


def test_the_sweep_writes_missing_entries(mailbox: Mailbox, owner: User) -> None:
    for number in range(3):
        store_received(mailbox, message(number, body="Friday"))
    ownerless = store_received(mailbox, message(9))
    InboundMessage.objects.filter(pk=ownerless.pk).update(owner=None)
    InboundEntry.objects.all().delete()
    assert index_new_received("default", 2) == 2
    assert sweep("default").indexed == 1
    assert len(found(owner, "friday")) == 3
    assert index_new_received("default", 2) == 0
    assert not InboundEntry.objects.filter(pk=ownerless.pk).exists()


def test_a_fault_of_the_parser_does_not_stop_the_fetch(
    mailbox: Mailbox,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(source: bytes) -> str:
        raise RuntimeError("a fault")

    monkeypatch.setattr(inbound_search, "_text", fail)
    with caplog.at_level(logging.ERROR):
        store_received(mailbox, message(1, body="Friday"))
    assert "cannot be found" in caplog.text
    assert found(owner, "subject:number") == ["Number 1"]


def test_the_words_of_an_expired_text_are_not_found(mailbox: Mailbox, owner: User) -> None:
    mailbox.account.content_days = 10
    mailbox.account.save()
    store_received(mailbox, message(1, body="Friday"))
    InboundMessage.objects.update(created_at=database_now() - dt.timedelta(days=11))
    assert totals(Pass("default").run())["received contents"] == 1
    assert found(owner, "friday") == []
    assert found(owner, "number") == ["Number 1"]


def test_an_erased_address_is_not_found(mailbox: Mailbox, owner: User) -> None:
    copied = store_received(mailbox, message(1, more="Cc: Carol <carol@example.net>\r\n"))
    quoting = store_received(mailbox, message(2, body="Write to carol@example.net"))
    assert found(owner, "to:carol") == ["Number 1"]
    erasure.erase_address("carol@example.net")
    assert "carol" not in terms_of(copied) + terms_of(quoting)
    assert found(owner, "carol") == []
    assert found(owner, "number") == ["Number 2", "Number 1"]
