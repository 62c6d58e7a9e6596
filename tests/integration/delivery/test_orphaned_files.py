"""Files of messages that were rolled back do not stay in the storage for ever."""

import datetime as dt
import io
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import transaction
from django.db.models import F

from outbox import api
from outbox.backend import EmailBackend
from outbox.delivery import discarded_files, orphaned_files
from outbox.delivery.orphaned_files import PERIOD
from outbox.exceptions import StorageWriteError
from outbox.models import Account, Attachment, DiscardedFile, LastRun, Message, Source
from tests.full_storage import full_storage, stored_files
from tests.integration.delivery.mail_client import until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _large(db: None, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"INLINE_SOURCE_BYTES": 10}
    delete_orphans("default", days=60)  # of earlier tests


@pytest.fixture
def sender() -> Account:
    return Account.objects.create(
        name="shop", from_address="a@example.com", host="mail.example", is_app_default=True
    )


def delete_orphans(using: str, **options: int) -> int:
    count = orphaned_files.discard_orphans(using, **options)
    discarded_files.delete_all(using)
    return count


def roll_back_a_message(sender: Account) -> str:
    """Queue a large message in a transaction that is rolled back; return its file's path."""
    before = stored_files()
    with transaction.atomic():
        api.send(account=sender, to="bob@example.net", text="Words")
        transaction.set_rollback(True)
    (path,) = stored_files() - before
    return path


def age(path: str | None, *, days: int) -> str:
    """Move a file to the folder of the day on which it would have been written."""
    assert path is not None
    kind, *_, name = path.split("/")
    day = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    older = f"{kind}/{day:%Y/%m/%d}/{name}"
    default_storage.save(older, ContentFile(Path(default_storage.path(path)).read_bytes()))
    default_storage.delete(path)
    return older


def test_the_file_of_a_rolled_back_message_is_deleted_days_later(sender: Account) -> None:
    path = roll_back_a_message(sender)

    assert delete_orphans("default") == 0, "its transaction could still be open"
    older = age(path, days=3)
    assert delete_orphans("default") == 1
    assert older not in stored_files()


def test_files_that_a_row_names_are_not_deleted(sender: Account) -> None:
    handle = api.send(account=sender, to="bob@example.net", text="Words")
    draft = Message.objects.create(account=sender)
    attached = api.attach(draft, "plan.txt", "text/plain", b"plan")
    source = Source.objects.get(message=handle.pk)
    Source.objects.filter(pk=source.pk).update(file=age(source.file.name, days=3))
    Attachment.objects.filter(pk=attached.pk).update(file=age(attached.file.name, days=3))

    assert delete_orphans("default") == 0
    assert Source.objects.get().read()
    assert Attachment.objects.get().read() == b"plan"


def test_files_of_other_sites_on_the_same_storage_are_not_deleted(
    sender: Account, settings: LazySettings
) -> None:
    """A copy of the site, with another database, may use the storage of the original."""
    older = age(roll_back_a_message(sender), days=3)
    mark = older.rpartition("/")[2].split("-")[2][:8]
    foreign = older.replace(mark, "0" * 8)
    default_storage.save(foreign, ContentFile(b"of another site"))
    unmarked = f"{older.rpartition('/')[0]}/report.eml"
    default_storage.save(unmarked, ContentFile(b"of another program"))

    assert delete_orphans("default") == 1
    assert {foreign, unmarked} <= stored_files()
    for path in (foreign, unmarked):
        default_storage.delete(path)


def test_the_command_deletes_older_files(sender: Account) -> None:
    older = age(roll_back_a_message(sender), days=40)

    assert delete_orphans("default") == 0
    call_command("outbox_clean_storage", "--days", "60", verbosity=0)
    assert older not in stored_files()


def test_a_file_that_is_detached_while_its_storage_fails_is_deleted_later(sender: Account) -> None:
    draft = Message.objects.create(account=sender)
    attached = api.attach(draft, "plan.txt", "text/plain", b"plan")
    path = age(attached.file.name, days=3)

    api.detach(draft, attached.pk)  # its row names a file that is not there

    assert delete_orphans("default") == 1
    assert path not in stored_files()


def run_cron() -> None:
    call_command("outbox_deliver", "--until-empty", stdout=io.StringIO())


def test_cron_at_any_minute_deletes_orphans_four_times_a_day(sender: Account) -> None:
    def orphan() -> str:
        return age(roll_back_a_message(sender), days=3)

    first = orphan()
    run_cron()
    assert first not in stored_files(), "the first run, at whatever time"

    second = orphan()
    run_cron()
    assert second in stored_files(), "a run so soon would read every folder again"

    LastRun.objects.update(at=F("at") - PERIOD)
    run_cron()
    assert second not in stored_files()


def test_cron_deletes_the_files_of_deleted_rows(sender: Account) -> None:
    draft = Message.objects.create(account=sender)
    attached = api.attach(draft, "plan.txt", "text/plain", b"plan")
    api.detach(draft, attached.pk)
    assert attached.file.name in stored_files()

    run_cron()

    assert attached.file.name not in stored_files()


@pytest.mark.django_db(transaction=True)
def test_a_worker_searches_and_deletes_in_the_background(sender: Account) -> None:
    older = age(roll_back_a_message(sender), days=3)

    orphaned_files.discard_in_background("default")
    until(DiscardedFile.objects.exists, "the search")
    orphaned_files.discard_in_background("default")  # it is not due, and does nothing
    discarded_files.delete_in_background("default")

    until(lambda: older not in stored_files(), "the deletion")
    until(lambda: not DiscardedFile.objects.exists(), "the end of the deletion")


def test_a_full_storage_raises_a_clear_error_and_leaves_no_file(sender: Account) -> None:
    before = stored_files()
    with full_storage():
        with pytest.raises(StorageWriteError, match="The storage for files is full") as caught:
            api.send(account=sender, to="bob@example.net", text="Words")
        message = EmailMessage("s", "Words", "a@example.com", ["bob@example.net"])
        with pytest.raises(OSError, match="full"):
            EmailBackend().send_messages([message])
        assert EmailBackend(fail_silently=True).send_messages([message]) == 0

    assert caught.value.errno == 28
    assert not Message.objects.exists()
    assert stored_files() == before
