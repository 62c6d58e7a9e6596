"""Quotas of one user: messages in an hour, storage, drafts, accounts, templates, contacts."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.db import connection, connections, transaction
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from outbox import api
from outbox.api import stored_size
from outbox.api.stored_size import StoredSizeOf
from outbox.backend import EmailBackend
from outbox.exceptions import InvalidMessageError, QuotaExceededError
from outbox.models import (
    Account,
    Contact,
    DraftKind,
    Folder,
    Message,
    Quota,
    Recipient,
    State,
    StoredSize,
    Template,
)
from outbox.models.rollup import roll_up
from tests.integration.web.conftest import (
    account,
    anna,
    as_anna,
    as_ben,
    ben,
    signed_in,
    staff_member,
    typed,
)
from tests.states import set_state

__all__ = ["account", "anna", "as_anna", "as_ben", "ben"]

SAID = "Messages queued in the last hour: 3. The limit is 3. Try again later."


@pytest.fixture
def three_an_hour(settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGES_PER_HOUR": 3}


def send(account: Account, owner: User | None) -> api.Handle:
    return api.send(account=account, to="a@example.org", text="Hi", owner=owner)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(QuotaExceededError) as raised:
        call()
    return str(raised.value)


def of_backend(owner: User | None) -> EmailMessage:
    message = EmailMessage("Hi", "Hi", "a@example.org", ["b@example.org"])
    message.outbox = {"owner": owner} if owner else {}  # type: ignore[attr-defined]  # the app's
    return message


# --- messages in an hour --------------------------------------------------------------------------


@pytest.mark.usefixtures("three_an_hour")
def test_messages_of_the_last_hour(account: Account, anna: User, ben: User) -> None:
    for _ in range(3):
        send(account, anna)
    assert refused(lambda: send(account, anna)) == SAID
    send(account, ben)
    send(account, None)  # an app's message has no quota
    Message.objects.filter(owner=anna).update(listed_at=F("listed_at") - dt.timedelta(hours=1))
    send(account, anna)


@pytest.mark.usefixtures("three_an_hour")
@pytest.mark.parametrize("state", [State.FAILED, State.SENT, State.CANCELLED])
def test_ended_messages_count_too(account: Account, anna: User, state: State) -> None:
    """One recipient that is rejected must not make a message free."""
    for _ in range(3):
        message = api.send(
            account=account, to="a@example.org, b@example.org", text="Hi", owner=anna
        ).message()
        first, second = message.recipients.all()
        set_state(Recipient.objects.filter(pk=first.pk), state)
        set_state(Recipient.objects.filter(pk=second.pk), State.FAILED)
        roll_up([message.pk], timezone.now(), "default")
    assert refused(lambda: send(account, anna)) == SAID


@pytest.mark.usefixtures("three_an_hour")
def test_messages_of_the_composer(as_anna: Client, account: Account, anna: User) -> None:
    for _ in range(3):
        send(account, anna)
    response = as_anna.post("/compose/", typed(account, send="1", form="m"))
    assert response.status_code == 422
    assert SAID in response.content.decode()
    assert Message.objects.filter(folder=Folder.DRAFTS).count() == 1  # what was typed is saved


@pytest.mark.usefixtures("three_an_hour")
def test_messages_of_the_backend(account: Account, anna: User) -> None:
    account.owner, account.is_app_default = None, True
    account.save()
    backend = EmailBackend()
    said = "Messages queued in the last hour: 0. The limit is 3. Try again later."
    assert refused(lambda: backend.send_messages([of_backend(anna)] * 4)) == said
    assert backend.send_messages([of_backend(anna)] * 3) == 3
    assert refused(lambda: backend.send_messages([of_backend(anna)])) == SAID
    assert backend.send_messages([of_backend(None)] * 10) == 10


@pytest.mark.usefixtures("three_an_hour")
@pytest.mark.parametrize("count", [4, 120])
def test_rendered_messages(account: Account, anna: User, count: int) -> None:
    items = [
        api.Outgoing(
            source=b"From: a@example.org\r\n\r\nHi\r\n",
            envelope_sender="a@example.org",
            recipients=[api.OutgoingRecipient("b@example.org")],
            account=account,
            owner=anna,
        )
    ] * count
    assert "The limit is 3" in refused(lambda: api.queue_ids(items))
    assert "The limit is 3" in refused(lambda: api.queue_ids(iter(items)))
    assert not Message.objects.exists()
    assert len(api.queue_ids(iter(items[:3]))) == 3


@pytest.mark.usefixtures("three_an_hour")
def test_rows_beyond_the_quota_are_refused(account: Account, anna: User) -> None:
    rows = [api.MergeRow(f"a{number}@example.org") for number in range(5)]
    result = api.send_many(rows, account=account, text="Hi", owner=anna, batch_size=2)
    assert (result.queued, [one.place for one in result.refused]) == (3, [3, 4])
    assert {str(one.error) for one in result.refused} == {SAID}
    assert api.send_many(rows, account=account, text="Hi").queued == 5


def test_a_bulk_run_counts_once_for_each_batch(account: Account, anna: User) -> None:
    rows = [api.MergeRow(f"a{number}@example.org") for number in range(60)]
    api.send_many(rows[:1], account=account, text="Hi", owner=anna)  # fills the caches

    def queries(count: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            api.send_many(rows[:count], account=account, text="Hi", owner=anna)
        return sum("COUNT" in one["sql"] or "SUM" in one["sql"] for one in captured)

    assert queries(60) == queries(2)
    with CaptureQueriesContext(connection) as captured:
        api.send_many(rows, account=account, text="Hi")
    assert not any("COUNT" in one["sql"] or "outbox_quota" in one["sql"] for one in captured)


@pytest.mark.usefixtures("three_an_hour")
def test_staff_raise_the_quota_of_a_user(account: Account, anna: User, ben: User) -> None:
    staff = signed_in(staff_member("add_quota", "view_quota"))
    response = staff.post(
        "/admin/outbox/quota/add/", {"user": str(anna.pk), "max_messages_per_hour": "5"}
    )
    assert response.status_code == 302
    for _ in range(5):
        send(account, anna)
    assert "The limit is 5" in refused(lambda: send(account, anna))
    for _ in range(3):
        send(account, ben)
    assert "The limit is 3" in refused(lambda: send(account, ben))


def test_only_staff_with_the_permission_raise_a_quota(anna: User) -> None:
    staff = signed_in(staff_member("view_message", "change_message"))
    assert staff.post("/admin/outbox/quota/add/", {"user": str(anna.pk)}).status_code == 403
    assert signed_in(anna).get("/admin/outbox/quota/").status_code == 302
    assert not Quota.objects.exists()


# --- storage --------------------------------------------------------------------------------------

FULL = "Your messages and attachments would take up "


def test_forwarding_again_and_again_ends_at_the_quota(
    as_anna: Client, account: Account, anna: User, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": 1_000_000}
    files = [api.AttachmentPart(name="a.bin", content_type="image/png", data=b"x" * 150_000)]
    handle = api.send(account=account, to="a@example.org", text="Hi", attachments=files, owner=anna)
    original = Message.objects.get(pk=handle.pk)

    def forward() -> Message:
        return api.reply_to_message(original, DraftKind.FORWARD, actor=anna)

    for _ in range(5):
        forward()
    assert FULL in refused(forward)
    copies = Message.objects.filter(folder=Folder.DRAFTS, attachment_count=1)
    assert copies.count() == 5
    fields = typed(account, **{"from": str(original.pk), "as": "forward", "included": "1.2"})
    response = as_anna.post("/compose/", fields | {"form": "m"}, follow=True)
    assert FULL in response.content.decode()
    assert copies.count() == 5


def test_files_beyond_the_quota(as_anna: Client, anna: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": 10_000}
    draft = api.save_draft(anna, api.DraftFields(text="Hi"))
    api.attach(draft, "a.bin", "image/png", b"x" * 9_000)
    said = f"{FULL}11 kB. The limit is 10 kB."
    assert refused(lambda: api.attach(draft, "b.bin", "image/png", b"x" * 2_000)) == said
    assert draft.attachments.count() == 1


def test_text_beyond_the_quota(as_anna: Client, anna: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": 100_000}
    draft = api.save_draft(anna, api.DraftFields(text="x" * 60_000))
    said = f"{FULL}160 kB. The limit is 100 kB."
    fields = api.DraftFields(text="x" * 100_000)
    assert refused(lambda: api.save_draft(anna, fields)) == said
    refused(lambda: api.save_draft(anna, api.DraftFields(text="x" * 160_000), draft=draft))
    response = as_anna.post("/compose/save/", typed(None, text="x" * 100_000, form="m"))
    assert response.status_code == 422
    assert FULL in response.json()["problem"]


def test_messages_of_an_app_beyond_the_quota(
    account: Account, anna: User, settings: LazySettings
) -> None:
    send(account, anna)
    size = Message.objects.get().size
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": size - 1}
    assert FULL in refused(lambda: send(account, anna))
    result = api.send_many([api.MergeRow("a@e.org")], account=account, text="Hi", owner=None)
    assert result.queued == 1


@pytest.fixture
def sums(django_capture_on_commit_callbacks: Callable[..., Any]) -> Callable[[User], int]:
    """Return what the quota counts, with the writes that follow the commit."""

    def read(owner: User) -> int:
        with django_capture_on_commit_callbacks(execute=True):
            return StoredSizeOf(owner.pk).remembered()

    return read


def age(moment: dt.timedelta) -> None:
    Message.objects.update(listed_at=F("listed_at") - moment)


def test_the_size_of_earlier_messages_is_remembered(
    account: Account, anna: User, sums: Callable[[User], int]
) -> None:
    first, second = (send(account, anna).message() for _ in range(2))
    Message.objects.filter(pk=first.pk).update(listed_at=timezone.now() - dt.timedelta(hours=1))
    assert sums(anna) == first.size + second.size
    Message.objects.filter(pk=first.pk).update(size=1)  # it is not read again
    draft = api.save_draft(anna, api.DraftFields(text="x" * 500))
    api.attach(draft, "a.bin", "image/png", b"x" * 9_000)
    draft.refresh_from_db()
    assert sums(anna) == first.size + second.size + draft.size + 9_000
    assert StoredSize.objects.get().size == first.size
    StoredSize.objects.update(summed_at=timezone.now() - dt.timedelta(days=8))
    assert sums(anna) == 1 + second.size + draft.size + 9_000


def test_the_remembered_size_includes_later_messages_in_steps(
    account: Account, anna: User, sums: Callable[[User], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the later messages of a loop would be read again and again."""
    monkeypatch.setattr(stored_size, "_ADDED_AFTER", 3)
    sums(anna)
    StoredSize.objects.update(listed_until=timezone.now() - dt.timedelta(hours=1))
    messages = [send(account, anna).message() for _ in range(4)]
    older = Message.objects.exclude(pk=messages[3].pk)
    for message in messages[2:]:  # the last one may not be committed everywhere
        assert StoredSize.objects.get().size == 0
        assert sums(anna) == sum(message.size for message in messages)
        older.filter(pk__lte=message.pk).update(listed_at=timezone.now() - dt.timedelta(minutes=30))
    for _ in range(2):
        assert sums(anna) == sum(message.size for message in messages)
        assert StoredSize.objects.get().size == sum(message.size for message in messages[:3])


def test_a_refusal_reads_everything_once(
    account: Account, anna: User, settings: LazySettings
) -> None:
    send(account, anna)
    StoredSize.objects.all().delete()
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": 1}
    with CaptureQueriesContext(connection) as captured:
        assert FULL in refused(lambda: send(account, anna))
    # Earlier messages, later ones and drafts, each with their files.
    assert sum("SUM(" in query["sql"] for query in captured) == 6


def test_no_lock_is_kept_until_the_caller_commits(
    account: Account, anna: User, sums: Callable[[User], int]
) -> None:
    StoredSizeOf(anna.pk).remembered()
    assert not StoredSize.objects.exists()
    sums(anna)
    assert StoredSize.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_caller_without_autocommit_is_served(account: Account, anna: User) -> None:
    transaction.set_autocommit(False)
    try:
        send(account, anna)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert Message.objects.count() == 1


def test_a_deleted_message_makes_room_at_once(
    account: Account, anna: User, sums: Callable[[User], int], settings: LazySettings
) -> None:
    send(account, anna)
    age(dt.timedelta(hours=2))
    size = sums(anna)
    settings.OUTBOX = settings.OUTBOX | {"MAX_STORED_BYTES": size - 1}
    assert FULL in refused(lambda: send(account, anna))
    Message.objects.all().delete()
    send(account, anna)


# --- what one user may own ------------------------------------------------------------------------


def test_drafts(as_anna: Client, anna: User, ben: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_DRAFTS": 2}
    drafts = [api.save_draft(anna, api.DraftFields(text="Hi")) for _ in range(2)]
    said = "You have reached your limit for drafts: 2 of 2."
    assert refused(lambda: api.save_draft(anna, api.DraftFields(text="Hi"))) == said
    response = as_anna.post("/compose/", typed(None, form="m"))
    assert (response.status_code, said in response.content.decode()) == (422, True)
    assert as_anna.post("/compose/save/", typed(None, form="m")).json() == {"problem": said}
    api.save_draft(anna, api.DraftFields(text="More"), draft=drafts[0])
    api.save_draft(ben, api.DraftFields(text="Hi"))


def test_templates(as_anna: Client, anna: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_TEMPLATES": 1}
    as_anna.post("/templates/add/", {"name": "A", "text": "Hi"})
    response = as_anna.post("/templates/add/", {"name": "B", "text": "Hi"})
    assert "You have reached your limit for templates: 1 of 1." in response.content.decode()
    assert Template.objects.get().name == "A"
    own = Template.objects.get()
    assert as_anna.post(f"/templates/{own.pk}/", {"name": "C", "text": "Hi"}).status_code == 302


def test_contacts(as_anna: Client, account: Account, anna: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_CONTACTS": 2}
    to = ", ".join(f"a{number}@example.org" for number in range(5))
    draft = api.save_draft(anna, api.DraftFields(account=account, to=to, text="Hi"))
    api.send_draft(draft, actor=anna)
    assert Contact.objects.filter(owner=anna).count() == 2
    response = as_anna.post("/contacts/add/", {"address": "b@example.org"})
    assert "You have reached your limit for contacts: 2 of 2." in response.content.decode()


# --- at the same time -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_time(account: Account, anna: User, settings: LazySettings) -> None:
    """Each may be allowed once more, so the excess is at most their number less one."""
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGES_PER_HOUR": 10}
    count = 6
    start = threading.Barrier(count)

    def send_all() -> None:
        start.wait(30)
        try:
            for _ in range(10):
                send(account, anna)
        except InvalidMessageError:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send_all) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 10 <= Message.objects.filter(owner=anna).count() <= 10 + count - 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_an_open_transaction_keeps_no_other_waiting(
    account: Account, anna: User, ben: User
) -> None:
    from django.db import transaction

    sent = threading.Event()

    def send_others() -> None:
        try:
            for owner in (anna, ben, None):
                send(account, owner)
            sent.set()
        finally:
            connections.close_all()

    send(account, None)  # creates the account's destination, which the others would wait for
    with transaction.atomic():
        send(account, anna)
        thread = threading.Thread(target=send_others)
        thread.start()
        assert sent.wait(30)
    thread.join(30)
