"""Received messages expire, are erased, and follow their account and owner, as sent ones do."""

import datetime as dt
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import transaction

from outbox.api import erasure
from outbox.db.clock import database_now
from outbox.delivery import discarded_files, orphaned_files
from outbox.delivery.expired_received import GONE_FOR
from outbox.delivery.retention import Pass, totals
from outbox.inbound.fetch import fetch_mailbox
from outbox.inbound.storing import store_received
from outbox.models import (
    Account,
    InboundMessage,
    InboundReport,
    InboundSource,
    Mailbox,
    Recipient,
    ServerMessage,
)
from outbox.models.message import file_storage
from outbox.models.removal import delete_messages
from tests.integration.fetching.conftest import message
from tests.integration.fetching.pop_server import PopServer
from tests.integration.inbound.returned import bounce, sent
from tests.integration.races import ONE_WRITER, committed_before

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]
DAY = dt.timedelta(days=1)
LARGE = "x" * 300_000  # stored as a file


@pytest.fixture(autouse=True)
def _own_storage(settings: LazySettings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = settings.SCRATCH / tmp_path.name


def files() -> list[str]:
    storage = file_storage()
    paths = Path(storage.path("received")).rglob("*.eml")
    return [path.name for path in paths]


def received(account: Account, number: int, *, days_ago: int = 0, **options: str) -> InboundMessage:
    found = store_received(account, message(number, **options))
    created = database_now() - days_ago * DAY
    InboundMessage.objects.filter(pk=found.pk).update(created_at=created)
    return found


def test_content_and_messages_expire_with_their_files(mailbox: Mailbox) -> None:
    account = mailbox.account
    account.content_days, account.message_days = 10, 100
    account.save()
    whole = received(account, 1, days_ago=5)
    bare = received(account, 2, days_ago=50, body=LARGE)
    received(account, 3, days_ago=150, body=LARGE)
    other = Account.objects.create(name="Kept", from_address="kept@example.org", host="h")
    kept = received(other, 4, days_ago=1_000)
    assert len(files()) == 2
    done = totals(Pass("default").run())
    assert done["received messages"] == 1
    assert done["received contents"] == 1
    discarded_files.delete_all("default")
    assert files() == []
    assert set(InboundMessage.objects.values_list("pk", flat=True)) == {whole.pk, bare.pk, kept.pk}
    assert set(InboundSource.objects.values_list("pk", flat=True)) == {whole.pk, kept.pk}
    bare.refresh_from_db()
    assert bare.subject == "Number 2"
    assert bare.snippet == ""


def test_the_report_of_an_expired_bounce_is_kept(mailbox: Mailbox) -> None:
    account = mailbox.account
    account.message_days = 100
    account.save()
    about = sent(account)
    store_received(account, bounce(message_id=about.message_id))
    InboundMessage.objects.update(created_at=database_now() - 150 * DAY)
    assert totals(Pass("default").run())["received messages"] == 1
    report = InboundReport.objects.get()
    assert (report.message, report.recipient) == (None, about.recipients.get())
    assert report.is_applied


def test_a_message_that_expired_is_not_fetched_again(server: PopServer, mailbox: Mailbox) -> None:
    Account.objects.filter(pk=mailbox.pk).update(message_days=10)
    server.mailbox.messages = {"a": message(1)}
    fetch_mailbox(mailbox.pk)
    InboundMessage.objects.update(created_at=database_now() - 11 * DAY)
    assert totals(Pass("default").run())["received messages"] == 1
    fetch_mailbox(mailbox.pk)
    assert InboundMessage.objects.count() == 0
    assert ServerMessage.objects.get().message is None


def test_the_ids_of_deleted_messages_expire(mailbox: Mailbox) -> None:
    now = database_now()
    for uid, gone in (("a", now - GONE_FOR - DAY), ("b", now), ("c", None)):
        ServerMessage.objects.create(mailbox=mailbox, uid=uid, seen_at=now, deleted_at=gone)
    assert totals(Pass("default").run()) == {"ids of deleted messages": 1}
    assert {row.uid for row in ServerMessage.objects.all()} == {"b", "c"}


def test_a_file_without_its_row_is_discarded(mailbox: Mailbox) -> None:
    kept = received(mailbox.account, 1, body=LARGE)
    lost = received(mailbox.account, 2, body=LARGE)
    InboundSource.objects.filter(pk=lost.pk).delete()  # as after a transaction that was rolled back
    day = database_now().date()
    storage = Path(file_storage().path("received"))
    today = storage / day.strftime("%Y/%m/%d")
    before = day - 2 * DAY
    moved = storage / before.strftime("%Y/%m/%d")
    moved.parent.mkdir(parents=True, exist_ok=True)
    today.rename(moved)
    name = str(kept.source.file.name).replace(day.strftime("%Y/%m/%d"), before.strftime("%Y/%m/%d"))
    InboundSource.objects.filter(pk=kept.pk).update(file=name)
    assert orphaned_files.discard_orphans("default") == 1
    discarded_files.delete_all("default")
    assert files() == [Path(name).name]


def test_erasing_an_address_finds_received_messages(mailbox: Mailbox) -> None:
    account = mailbox.account
    bob, ann = "bob@example.com", "carol@example.net"
    from_bob = received(account, 1)
    copied = received(account, 2, more=f"Cc: Bob <{bob}>\r\n")
    InboundMessage.objects.filter(pk=copied.pk).update(from_address=ann)
    source = copied.source.read().replace(b"Bob <Bob@Example.COM>", ann.encode())
    InboundSource.objects.filter(pk=copied.pk).delete()
    InboundSource.of(copied.pk, source, "0" * 64).save()
    quoted = store_received(account, source.replace(b"Hello.", b"Write to " + bob.encode()))
    done = erasure.erase_address(bob)
    assert done.is_complete, done.left
    left = {one.pk for one in InboundMessage.objects.all()}
    assert left == {copied.pk, quoted.pk}
    assert from_bob.pk not in left
    kept = InboundSource.objects.get(pk=copied.pk)
    assert bob.encode() not in kept.read().lower()
    assert kept.is_redacted
    assert not InboundSource.objects.filter(pk=quoted.pk).exists(), "its text has the address"
    assert bob not in InboundMessage.objects.get(pk=quoted.pk).snippet


def test_the_mailbox_of_an_address_must_be_changed_before_it_is_erased(mailbox: Mailbox) -> None:
    Account.objects.update(from_address="other@example.org")
    with pytest.raises(erasure.AddressInUseError, match="the mailbox of Work"):
        erasure.erase_address(mailbox.username)


def test_a_deleted_account_keeps_its_messages(mailbox: Mailbox, owner: User) -> None:
    found = received(mailbox.account, 1)
    mailbox.account.delete()
    found.refresh_from_db()
    assert (found.account, found.owner) == (None, owner)
    assert not Mailbox.objects.exists()


def test_a_deleted_user_leaves_no_password_of_a_mailbox(mailbox: Mailbox, owner: User) -> None:
    found = received(mailbox.account, 1)
    owner.delete()
    found.refresh_from_db()
    assert found.owner is None
    assert not Mailbox.objects.exists()
    assert Account.objects.get().is_active is False


@ONE_WRITER
@pytest.mark.parametrize(
    "statement", ['INSERT INTO "outbox_inboundreport"', 'UPDATE "outbox_inboundreport"']
)
def test_a_sent_message_is_deleted_while_its_bounce_is_stored(
    server: PopServer, mailbox: Mailbox, statement: str
) -> None:
    """The constraints between reports and recipients are checked when a transaction ends."""
    about = sent(mailbox.account)
    server.mailbox.messages = {"a": bounce(message_id=about.message_id), "b": message(1)}

    def delete() -> None:
        with transaction.atomic():
            recipients = Recipient.objects.filter(message=about.pk).order_by("pk")
            list(recipients.select_for_update(no_key=True))
            delete_messages([about.pk], "default")

    with committed_before(statement, delete):
        fetch_mailbox(mailbox.pk)
    assert InboundMessage.objects.count() == 2
    assert not Recipient.objects.exists()
    assert not InboundReport.objects.exclude(recipient=None).exists()
