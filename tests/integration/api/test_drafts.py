"""A draft keeps whatever was typed; sending judges all of it, and queues all or nothing."""

import datetime as dt
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.utils import timezone

from outbox import api
from outbox.delivery.discarded_files import delete_all
from outbox.exceptions import DraftConflictError, InvalidMessageError, NotADraftError
from outbox.models import (
    Account,
    Attachment,
    Draft,
    Event,
    EventKind,
    Folder,
    Message,
    Recipient,
    Role,
    Source,
    Status,
)
from tests.integration.api.reading import read

pytestmark = pytest.mark.django_db


def fields(sender: Account | None, **typed: Any) -> api.DraftFields:
    return api.DraftFields(
        **{"account": sender, "to": "bob@example.net", "subject": "Hi", "text": "Hello"} | typed
    )


def everything() -> dict[str, list[dict[str, Any]]]:
    """All that a failed send must leave as it was."""
    tables: tuple[Any, ...] = (Message, Draft, Recipient, Source, Attachment, Event)
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in tables}


def test_a_draft_is_listed_with_its_recipients_on_one_line(ann: User) -> None:
    draft = api.save_draft(ann, fields(None, to="jane\r\n\nbob@example.org\n"))
    assert draft.to_summary == "jane, bob@example.org"


def test_a_draft_keeps_what_was_typed_right_or_wrong(ann: User) -> None:
    typed = fields(None, to="bob@, <<", cc=" ,", subject="a\nb", text="x", html="<b>x")
    draft = api.save_draft(ann, typed)
    kept = Message.objects.get(pk=draft.pk)
    assert (kept.status, kept.folder, kept.owner_id) == (Status.DRAFT, Folder.DRAFTS, ann.pk)
    assert (kept.draft.to, kept.draft.cc, kept.subject) == ("bob@, <<", " ,", "a\nb")
    assert (kept.draft.text, kept.draft.html, kept.draft.version) == ("x", "<b>x", 1)
    assert not Recipient.objects.exists()


@pytest.mark.parametrize("odd", ["a\0b", "half \ud83d a pair"])
def test_a_draft_marks_what_no_database_keeps(ann: User, odd: str) -> None:
    api.save_draft(ann, fields(None, to=odd, cc=odd, bcc=odd, subject=odd, text=odd, html=odd))
    kept = Draft.objects.get()
    assert (
        kept.text == kept.html == kept.to == odd.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
    )


def test_a_file_that_cannot_be_read_is_named_and_nothing_is_sent(
    ann: User, account: Account
) -> None:
    draft = api.save_draft(ann, fields(account))
    api.attach(draft, "plan.txt", "text/plain", b"first this, then that")
    Attachment.objects.get().file.delete(save=False)
    before = everything()
    with pytest.raises(InvalidMessageError, match=r"“plan\.txt” cannot be read") as raised:
        api.send_draft(draft, actor=ann)
    assert raised.value.field == "attachments"
    assert everything() == before


def test_a_save_counts_and_two_windows_cannot_both_win(ann: User, account: Account) -> None:
    draft = api.save_draft(ann, fields(account))
    first = api.save_draft(ann, fields(account, text="first"), draft=draft, version=1)
    assert first.draft.version == 2
    with pytest.raises(DraftConflictError):
        api.save_draft(ann, fields(account, text="second"), draft=draft, version=1)
    kept = Draft.objects.get()
    assert (kept.text, kept.version) == ("first", 2)


def test_a_save_without_a_version_overwrites(ann: User, account: Account) -> None:
    draft = api.save_draft(ann, fields(account))
    api.save_draft(ann, fields(account, text="again"), draft=draft)
    assert Draft.objects.get().text == "again"


def test_a_draft_is_sent_as_one_message_to_each_recipient_once(ann: User, account: Account) -> None:
    """Protocol items 6 and 57."""
    typed = fields(
        account,
        to="Bob <bob@example.net>, bob@EXAMPLE.net",
        cc="eve@example.net",
        bcc="bob@example.net, zed@example.net",
    )
    message = api.send_draft(api.save_draft(ann, typed), actor=ann)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.QUEUED, Folder.OUTBOX)
    rows = Recipient.objects.order_by("pk").values_list("address", "role")
    assert list(rows) == [
        ("bob@example.net", Role.TO),
        ("eve@example.net", Role.CC),
        ("zed@example.net", Role.BCC),
    ]
    assert b"zed@" not in message.source.read()
    event = Event.objects.get()
    assert (event.kind, event.actor_id) == (EventKind.QUEUED, ann.pk)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"account": None}, "account"),
        ({"to": ""}, "to"),
        ({"to": "bob@"}, "to"),
        ({"to": "bob\0@example.net"}, "to"),  # what no database keeps is wrong all the same
        ({"to": "bob\ud83d@example.net"}, "to"),
        ({"cc": "<<"}, "cc"),
        ({"bcc": "no address"}, "bcc"),
        ({"reply_to": "@example.net"}, "reply_to"),
        ({"subject": "a\r\nBcc: eve@example.net"}, "subject"),
        ({"text": "x" * 2_000}, "attachments"),  # the limit is on all of it
    ],
)
def test_what_is_wrong_is_named_and_nothing_changes(
    ann: User, account: Account, settings: LazySettings, typed: dict[str, Any], field: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1_000}
    draft = api.save_draft(ann, fields(account, **typed))
    before = everything()
    with pytest.raises(InvalidMessageError) as wrong:
        api.send_draft(draft, actor=ann)
    assert wrong.value.field == field
    assert str(wrong.value)
    assert everything() == before


def test_an_account_with_an_invalid_address_is_named(ann: User, account: Account) -> None:
    Account.objects.update(from_address="no address")
    account.refresh_from_db()
    draft = api.save_draft(ann, fields(account))
    with pytest.raises(InvalidMessageError) as wrong:
        api.send_draft(draft, actor=ann)
    assert wrong.value.field == "account"


def test_files_are_counted_against_the_limit_together(
    ann: User, account: Account, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1_000}
    draft = api.save_draft(ann, fields(account))
    api.attach(draft, "a.bin", "application/octet-stream", b"x" * 600)
    before = everything()
    with pytest.raises(InvalidMessageError) as wrong:
        api.attach(draft, "b.bin", "application/octet-stream", b"x" * 401)
    assert wrong.value.field == "attachments"
    assert everything() == before
    api.attach(draft, "c.bin", "application/octet-stream", b"x" * 400)
    assert Message.objects.get().attachment_count == 2


@pytest.mark.parametrize("content_type", ["pdf", "text/plain charset=utf-8", f"a/b; c={'d' * 260}"])
def test_a_content_type_that_cannot_be_read_is_refused(
    ann: User, account: Account, content_type: str
) -> None:
    draft = api.save_draft(ann, fields(account))

    with pytest.raises(InvalidMessageError) as wrong:
        api.attach(draft, "a.pdf", content_type, b"%PDF")

    assert wrong.value.field == "content_type"
    assert not draft.attachments.exists()


def test_a_content_type_is_sent_with_its_parameters(ann: User, account: Account) -> None:
    draft = api.save_draft(ann, fields(account))
    given = 'text/calendar; charset="utf-8"; method=REQUEST; component="VEVENT"'
    api.attach(draft, "invite.ics", given, b"BEGIN:VCALENDAR")

    sent = read(api.Handle(api.send_draft(draft, actor=ann).pk))

    part = next(sent.iter_attachments())
    assert part.get_content_type() == "text/calendar"
    assert (part.get_param("method"), part.get_param("component")) == ("REQUEST", "VEVENT")


def test_a_file_can_be_taken_off_again(ann: User, account: Account) -> None:
    draft = api.save_draft(ann, fields(account))
    row = api.attach(draft, "a.txt", "text/plain", b"x")
    storage, name = row.file.storage, str(row.file.name)
    api.detach(draft, row.pk)
    api.detach(draft, row.pk)  # not an error
    assert storage.exists(name), "it was deleted before the commit, which may fail"
    delete_all("default")
    assert not storage.exists(name)
    assert Message.objects.get().attachment_count == 0


def test_a_file_of_another_draft_is_not_removed(ann: User, account: Account) -> None:
    mine, other = (api.save_draft(ann, fields(account)) for _ in range(2))
    row = api.attach(other, "a.txt", "text/plain", b"x")
    api.detach(mine, row.pk)
    assert Attachment.objects.count() == 1


def test_a_discarded_draft_is_gone_with_its_files(ann: User, account: Account) -> None:
    draft = api.save_draft(ann, fields(account))
    row = api.attach(draft, "a.txt", "text/plain", b"x")
    storage, name = row.file.storage, str(row.file.name)
    api.discard_draft(draft)
    delete_all("default")
    assert not Message.objects.exists()
    assert not storage.exists(name)


@pytest.mark.parametrize("how", ["sent", "discarded"])
def test_a_message_that_is_not_a_draft_any_more_cannot_be_edited_or_sent(
    ann: User, account: Account, how: str
) -> None:
    draft = api.save_draft(ann, fields(account))
    stale = Message.objects.get(pk=draft.pk)
    if how == "sent":
        api.send_draft(draft, actor=ann)
    else:
        api.discard_draft(draft)
    before = everything()
    actions = (
        lambda: api.send_draft(stale, actor=ann),
        lambda: api.save_draft(ann, fields(account), draft=stale),
        lambda: api.attach(stale, "a.txt", "text/plain", b"x"),
        lambda: api.detach(stale, 1),
        lambda: api.discard_draft(stale),
    )
    for action in actions:
        with pytest.raises(NotADraftError):
            action()
    assert everything() == before


def test_a_scheduled_message_is_dated_at_its_send_time(ann: User, account: Account) -> None:
    """Protocol item 4: Date is the time it is meant to leave."""
    moment = (timezone.now() + dt.timedelta(days=2)).replace(microsecond=0)
    draft = api.save_draft(ann, fields(account, send_at=moment))
    message = api.send_draft(draft, actor=ann)
    message.refresh_from_db()
    assert (message.status, message.folder) == (Status.SCHEDULED, Folder.SCHEDULED)
    assert Recipient.objects.get().next_attempt_at == moment
    assert f"{moment:%d %b %Y %H:%M:%S}".encode().lstrip(b"0") in message.source.read()
