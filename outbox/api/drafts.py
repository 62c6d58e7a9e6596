"""Drafts: saving what a user types, and sending it.

A draft keeps what was typed, valid or not. Sending checks everything at once: either the message is
queued or nothing has changed.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from outbox.api.limits import check_address_field, check_attachments, check_length, check_size
from outbox.api.outgoing import check
from outbox.api.queueing import queue_checked
from outbox.api.quotas import check_drafts, check_messages, check_storage, limit_of
from outbox.api.rendering import Content, read_addresses, render_outgoing
from outbox.api.thread_ids import current_references
from outbox.conf import get_conf
from outbox.db import clock
from outbox.exceptions import DraftConflictError, InvalidMessageError, NotADraftError
from outbox.mail.content_type import MAX_CONTENT_TYPE, read_content_type
from outbox.mail.filenames import safe_filename
from outbox.mail.html import html_to_text, without_picture
from outbox.mail.mime_writer import AttachmentPart, HeaderError
from outbox.mail.plain_text import snippet
from outbox.models import (
    Account,
    Attachment,
    Contact,
    Draft,
    Event,
    EventKind,
    Importance,
    Message,
    Origin,
    Preferences,
)
from outbox.models.discarded_file import discard_files
from outbox.models.search import index_messages
from outbox.models.senders import why_not
from outbox.texts import gettext_noop, storable

_PLAIN_BYTES = "application/octet-stream"
_STEP = 64_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFields:
    """The fields of a draft, as they were typed."""

    account: Account | None = None
    to: str = ""
    cc: str = ""
    bcc: str = ""
    reply_to: str = ""
    subject: str = ""
    importance: str = Importance.NORMAL
    text: str = ""
    html: str = ""
    send_at: dt.datetime | None = None
    wants_report: bool = False  # of delivery, from servers that can (RFC 3461)


def save_draft(
    owner: AbstractBaseUser,
    fields: DraftFields,
    *,
    draft: Message | None = None,
    version: int | None = None,
    page: str = "",
) -> Message:
    """Save a draft. Raise DraftConflictError if `version` is not the saved one.

    `page` identifies the page that the text was typed in. A page creates at most one draft, and is
    never in conflict with its own last save, whose response it may not have received. Raise
    InvalidMessageError for a text that exceeds its limit, and QuotaExceededError.
    """
    _check_lengths(fields)
    using = get_conf().database
    with transaction.atomic(using=using):
        known = draft or begun_on(owner, page)
        _check_quotas(owner, fields, known)
        if draft is None:
            draft = known or _begin(owner, page)
            version = 0  # of the draft, unless another page has changed it
        message, content, now = _locked(draft)
        its_own = bool(page) and content.saved_from == page
        if version is not None and version != content.version and not its_own:
            raise DraftConflictError("This draft was changed in another window.")
        _put(message, content, fields)
        message.listed_at = now
        content.saved_from = page
        message.save(using=using)
        content.save(using=using)
        index_messages([message.pk], using)
    message.draft = content
    return message


def _check_quotas(owner: AbstractBaseUser, fields: DraftFields, draft: Message | None) -> None:
    """Raise QuotaExceededError for one draft too many, or too much text.

    A draft is saved after each pause, so its text is compared with the quota in steps.
    """
    if draft is None:
        check_drafts(owner.pk)
    size = draft.size if draft else 0
    more = _size_of(fields) - size
    if draft is None or (size + more) // _STEP > size // _STEP:
        check_storage(owner.pk, more)


def _size_of(fields: DraftFields) -> int:
    texts = (fields.to, fields.cc, fields.bcc, fields.subject, fields.text, fields.html)
    return sum(map(len, texts))


def _check_lengths(fields: DraftFields) -> None:
    for name in ("to", "cc", "bcc", "reply_to"):
        check_address_field(name, len(getattr(fields, name)))
    conf = get_conf()
    check_length("subject", len(fields.subject), conf.max_subject)
    check_length("text", len(fields.text), conf.max_text)
    check_length("html", len(fields.html), conf.max_text)


def begun_on(owner: AbstractBaseUser, page: str) -> Message | None:
    """Return the message that was created on this page. It may already be sent."""
    if not page:
        return None
    messages = Message.objects.using(get_conf().database)
    return messages.filter(idempotency_key=_page_key(owner, page)).first()


def _page_key(owner: AbstractBaseUser, page: str) -> str:
    return f"compose {owner.pk} {page}"


def _begin(owner: AbstractBaseUser, page: str) -> Message:
    """Create the rows of a draft. A second request of the same page finds the first one's rows."""
    using = get_conf().database
    key = _page_key(owner, page) if page else None
    try:
        with transaction.atomic(using=using):
            message = Message.objects.using(using).create(
                owner_id=owner.pk,
                origin=Origin.COMPOSE,
                idempotency_key=key,
                listed_at=clock.now(),
            )
            Draft.objects.using(using).create(message=message, version=0)
    except IntegrityError:
        message = Message.objects.using(using).get(idempotency_key=key)
    return message


def _locked(draft: Message) -> tuple[Message, Draft, dt.datetime]:
    """Lock the draft's rows and return them, and the database's time.

    Raise NotADraftError if it was already sent or discarded.
    """
    using = get_conf().database
    messages = Message.objects.using(using).annotate(read_at=Now())
    message = messages.select_for_update(no_key=True).filter(pk=draft.pk).first()
    if message is None or not message.is_draft:
        raise NotADraftError("It has already been sent or discarded.")
    content, _ = Draft.objects.using(using).get_or_create(message=message)
    return message, content, message.read_at  # type: ignore[attr-defined]  # annotated above


def _storable(fields: DraftFields) -> DraftFields:
    """Return the fields as a database can store them."""
    texts: dict[str, Any] = {
        field.name: storable(value)
        for field in dataclasses.fields(fields)
        if isinstance(value := getattr(fields, field.name), str)
    }
    return dataclasses.replace(fields, **texts)


def _put(message: Message, content: Draft, fields: DraftFields) -> None:
    fields = _storable(fields)
    message.account = fields.account
    message.subject = fields.subject
    message.size = _size_of(fields)
    message.importance = fields.importance
    message.send_at = fields.send_at
    message.wants_report = fields.wants_report
    message.to_summary = summarize_recipients(fields.to)
    message.snippet = snippet(fields.text or html_to_text(fields.html), 120)
    content.to, content.cc, content.bcc = fields.to, fields.cc, fields.bcc
    content.reply_to = fields.reply_to
    content.text, content.html = fields.text, fields.html
    content.version += 1


def summarize_recipients(typed: str) -> str:
    """Return the recipients as typed, on one line, for lists of messages."""
    return ", ".join(line for line in typed.splitlines() if line.strip())[:200]


def attach(
    draft: Message, name: str, content_type: str, data: bytes, *, content_id: str = ""
) -> Attachment:
    """Add a file to a draft. Raise InvalidMessageError as `attach_files` does."""
    part = AttachmentPart(name=name, content_type=content_type, data=data, content_id=content_id)
    (row,) = attach_files(draft, [part])
    return row


def attach_files(draft: Message, parts: Sequence[AttachmentPart]) -> list[Attachment]:
    """Add files to a draft, all or none.

    Raise InvalidMessageError for a content type that cannot be read, and for a message that would
    have too many attachments or bytes. Raise QuotaExceededError.
    """
    for part in parts:
        _check_content_type(part.content_type or _PLAIN_BYTES)
    using = get_conf().database
    with transaction.atomic(using=using):
        message, _, _ = _locked(draft)
        sizes = list(message.attachments.values_list("size", flat=True))
        more = sum(len(part.data) for part in parts)
        check_attachments(len(sizes) + len(parts))
        check_size(more + sum(sizes))
        check_storage(message.owner_id, more)
        rows = [_stored(message, part) for part in parts]
        _count_attachments(message)
    return rows


def _stored(message: Message, part: AttachmentPart) -> Attachment:
    content_type = part.content_type or _PLAIN_BYTES
    row = Attachment.of(message, safe_filename(part.name), content_type, part.data)
    row.content_id = part.content_id
    row.save(using=get_conf().database)
    return row


def _check_content_type(content_type: str) -> None:
    try:
        read_content_type(content_type)
    except HeaderError as error:
        raise InvalidMessageError(error.field, error) from error
    if len(content_type) > MAX_CONTENT_TYPE:
        template = gettext_noop("content_type has more than %(count)s characters")
        raise InvalidMessageError("content_type", template, count=MAX_CONTENT_TYPE)


def detach(draft: Message, attachment_id: int) -> None:
    """Remove a file from a draft and from its text. A missing file is not an error."""
    using = get_conf().database
    with transaction.atomic(using=using):
        message, content, _ = _locked(draft)
        for row in message.attachments.filter(pk=attachment_id):
            if row.content_id:
                content.html = without_picture(content.html, row.content_id)
                content.save(using=using, update_fields=["html"])
            discard_files([row.file.name], using)
            row.delete()
        _count_attachments(message)


def _count_attachments(message: Message) -> None:
    message.attachment_count = message.attachments.count()
    message.save(update_fields=["attachment_count"])


def discard_draft(draft: Message) -> None:
    """Delete a draft and its files. Raise NotADraftError if it was already sent."""
    using = get_conf().database
    with transaction.atomic(using=using):
        message, _, _ = _locked(draft)
        discard_files([row.file.name for row in message.attachments.all()], using)
        message.delete()


def send_draft(draft: Message, *, actor: AbstractBaseUser, undo_period: float = 0) -> Message:
    """Queue a draft as every message is queued. Its row becomes that of the queued message.

    Delivery starts after `undo_period` seconds at the earliest. Raise InvalidMessageError naming
    the field to correct, with nothing changed, QuotaExceededError, and NotADraftError.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        message, typed, now = _locked(draft)
        check_messages(message.owner)
        content = _read_content(message, typed)
        if reason := why_not(message, using):
            raise InvalidMessageError("account", str(reason))
        references = current_references(message.made_from, typed.made_as, typed.references.split())
        item = render_outgoing(
            content,
            origin=Origin.COMPOSE,
            owner=message.owner,
            importance=message.importance,
            send_at=_delayed(message.send_at, now, undo_period),
            in_reply_to=references[-1] if references else message.in_reply_to,
            references=references,
            wants_report=message.wants_report,
        )
        queue_checked([check(item, draft=message)])
        Event.objects.using(using).create(
            message=message, kind=EventKind.QUEUED, actor_id=actor.pk, at=now
        )
        if message.owner_id is not None:
            _remember_account(message.owner_id, message.account_id, using)
            addresses = [*content.to, *content.cc, *content.bcc]
            contacts = Contact.objects.using(using)
            most = limit_of(message.owner_id, "max_contacts")
            contacts.remember(message.owner_id, addresses, now, most=most)
        index_messages([message.pk], using)
        message.refresh_from_db(using=using)
    return message


def _read_content(message: Message, typed: Draft) -> Content:
    if message.account is None:
        raise InvalidMessageError("account", gettext_noop("Choose the account to send with."))
    check_attachments(message.attachments.count())  # before the files are read
    return Content(
        account=message.account,
        to=read_addresses("to", typed.to),
        cc=read_addresses("cc", typed.cc),
        bcc=read_addresses("bcc", typed.bcc),
        reply_to=read_addresses("reply_to", typed.reply_to or message.account.reply_to),
        subject=message.subject,
        text=typed.text,
        html=typed.html,
        files=[_part(row) for row in message.attachments.all()],
    )


def _part(row: Attachment) -> AttachmentPart:
    try:
        data = row.read()
    except OSError as error:
        template = gettext_noop(
            "“%(file)s” cannot be read at present: try again later, or remove it."
        )
        raise InvalidMessageError("attachments", template, file=row.name) from error
    return AttachmentPart(
        name=row.name, content_type=row.content_type, data=data, content_id=row.content_id
    )


def _remember_account(user_id: Any, account_id: int | None, using: str) -> None:
    """Note the account that the user sent with last, if it is another one than before."""
    preferences = Preferences.objects.using(using)
    if not preferences.filter(pk=user_id, last_account=account_id).exists():
        preferences.update_or_create(user_id=user_id, defaults={"last_account_id": account_id})


def _delayed(
    send_at: dt.datetime | None, now: dt.datetime, undo_period: float
) -> dt.datetime | None:
    """Return the time to send at, which leaves the user the undo period."""
    if not undo_period:
        return send_at
    earliest = now + dt.timedelta(seconds=undo_period)
    return max(send_at, earliest) if send_at else earliest
