"""Drafts: typed text in, a queued mail out.

A draft keeps whatever was typed, right or wrong. Only sending judges it, and then all at once:
either everything is queued or nothing changed.
"""

import dataclasses
import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from outbox import bell
from outbox.api.composing import check_size, finish, read_addresses
from outbox.api.outgoing import Outgoing, check
from outbox.api.queueing import tell_queued
from outbox.api.routes import route_of
from outbox.api.rows import fill, store_parts
from outbox.conf import get_conf
from outbox.exceptions import DraftConflictError, InvalidMailError, NotADraftError
from outbox.mail.content_type import MAX_CONTENT_TYPE, read_content_type
from outbox.mail.html import html_to_text, without_picture
from outbox.mail.mime import AttachmentPart, HeaderError
from outbox.mail.names import safe_filename
from outbox.mail.text import snippet
from outbox.models import (
    Account,
    Attachment,
    Contact,
    Draft,
    Event,
    EventKind,
    Message,
    Origin,
)
from outbox.models.search import put_in as put_in_search

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and half of a surrogate pair


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFields:
    """What a person typed, as typed."""

    account: Account | None = None
    to: str = ""
    cc: str = ""
    bcc: str = ""
    reply_to: str = ""
    subject: str = ""
    priority: int = 3
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
    """Save what was typed. Raises DraftConflictError when `version` is not the saved one.

    `page` marks the page it was typed in: however often that page begins a draft, it is the same
    one, and no page is in conflict with its own last save, whose answer it may never have heard.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        if draft is None:
            draft = begun_on(owner, page) or _begin(owner, page)
            version = 0  # the draft itself, unless another page went on with it
        message, content = _locked(draft)
        its_own = bool(page) and content.saved_from == page
        if version is not None and version != content.version and not its_own:
            raise DraftConflictError("This draft was changed in another window.")
        _put(message, content, fields)
        content.saved_from = page
        message.save(using=using)
        content.save(using=using)
        put_in_search([message.pk], using)
    message.draft = content
    return message


def begun_on(owner: AbstractBaseUser, page: str) -> Message | None:
    """Return the mail that was begun on this page, which may have been sent meanwhile."""
    if not page:
        return None
    messages = Message.objects.using(get_conf().database)
    return messages.filter(idempotency_key=_page_key(owner, page)).first()


def _page_key(owner: AbstractBaseUser, page: str) -> str:
    return f"compose {owner.pk} {page}"


def _begin(owner: AbstractBaseUser, page: str) -> Message:
    """Make the rows of a draft; of two requests of one page, the second finds the first one's."""
    using = get_conf().database
    key = _page_key(owner, page) if page else None
    try:
        with transaction.atomic(using=using):
            message = Message.objects.using(using).create(
                owner_id=owner.pk, origin=Origin.COMPOSE, idempotency_key=key
            )
            Draft.objects.using(using).create(message=message, version=0)
    except IntegrityError:
        message = Message.objects.using(using).get(idempotency_key=key)
    return message


def _locked(draft: Message) -> tuple[Message, Draft]:
    """Lock the draft's rows. Raises NotADraftError when it was sent or discarded meanwhile."""
    using = get_conf().database
    message = (
        Message.objects.using(using).select_for_update(no_key=True).filter(pk=draft.pk).first()
    )
    if message is None or not message.is_draft:
        raise NotADraftError("It was sent or discarded meanwhile.")
    content, _ = Draft.objects.using(using).get_or_create(message=message)
    return message, content


def _storable(fields: DraftFields) -> DraftFields:
    """Put SUBSTITUTE where a text holds what no database keeps: it is as wrong in an address."""
    texts: dict[str, Any] = {
        field.name: _UNSTORABLE.sub("\x1a", value)
        for field in dataclasses.fields(fields)
        if isinstance(value := getattr(fields, field.name), str)
    }
    return dataclasses.replace(fields, **texts)


def _put(message: Message, content: Draft, fields: DraftFields) -> None:
    fields = _storable(fields)
    message.account = fields.account
    message.subject = fields.subject
    message.priority = fields.priority
    message.listed_at = timezone.now()
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


def attach_file(
    draft: Message, name: str, content_type: str, data: bytes, *, content_id: str = ""
) -> Attachment:
    """Add a file to a draft.

    Raises InvalidMailError for a content type that cannot be read, and when the message would grow
    over the limit.
    """
    content_type = content_type or "application/octet-stream"
    _check_content_type(content_type)
    using = get_conf().database
    with transaction.atomic(using=using):
        message, _ = _locked(draft)
        size = len(data) + sum(message.attachments.values_list("size", flat=True))
        check_size(size)
        row = Attachment.of(message, safe_filename(name), content_type, data)
        row.content_id = content_id
        row.save(using=using)
        _count_attachments(message)
    return row


def _check_content_type(content_type: str) -> None:
    try:
        read_content_type(content_type)
    except HeaderError as error:
        raise InvalidMailError(error.field, str(error)) from error
    if len(content_type) > MAX_CONTENT_TYPE:
        problem = f"content_type has more than {MAX_CONTENT_TYPE} characters"
        raise InvalidMailError("content_type", problem)


def detach_file(draft: Message, attachment_id: int) -> None:
    """Take a file off a draft, and out of its text; one that is not there is no error."""
    using = get_conf().database
    with transaction.atomic(using=using):
        message, content = _locked(draft)
        for row in message.attachments.filter(pk=attachment_id):
            stored = row.file
            if row.content_id:
                content.html = without_picture(content.html, row.content_id)
                content.save(using=using, update_fields=["html"])
            row.delete()
            transaction.on_commit(lambda stored=stored: stored.delete(save=False), using=using)  # type: ignore[misc]  # a default argument binds the loop's value
        _count_attachments(message)


def _count_attachments(message: Message) -> None:
    message.attachment_count = message.attachments.count()
    message.save(update_fields=["attachment_count"])


def discard_draft(draft: Message) -> None:
    """Delete a draft and its files. Raises NotADraftError when it was sent meanwhile."""
    using = get_conf().database
    with transaction.atomic(using=using):
        message, _ = _locked(draft)
        files = [row.file for row in message.attachments.all()]
        message.delete()
        for stored in files:
            transaction.on_commit(lambda stored=stored: stored.delete(save=False), using=using)  # type: ignore[misc]  # as above


def send_draft(draft: Message, *, actor: AbstractBaseUser, undo_for: float = 0) -> Message:
    """Queue a draft: check all of it, render it once, change its state, ring after the commit.

    It leaves after `undo_for` seconds at the earliest. Raises InvalidMailError naming the field to
    mend, with nothing changed, and NotADraftError.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        message, content = _locked(draft)
        item = _finish(message, content, undo_for)
        finished, route = check(item), route_of(item.account)
        fill(message, finished, route)
        message.save(using=using)
        store_parts([(message.pk, finished, route)], timezone.now(), using)
        tell_queued([message.pk], using)
        Event.objects.using(using).create(
            message=message, kind=EventKind.QUEUED, actor_id=actor.pk, at=timezone.now()
        )
        _remember_contacts(message, content)
        put_in_search([message.pk], using)
        bell.ring(using)
    return message


def _remember_contacts(message: Message, content: Draft) -> None:
    """Have those written to offered when their address is typed again."""
    if message.owner_id is None:
        return
    typed = {"to": content.to, "cc": content.cc, "bcc": content.bcc}
    addresses = [one for field, text in typed.items() for one in read_addresses(field, text)]
    contacts = Contact.objects.using(get_conf().database)
    contacts.remember(message.owner_id, addresses, timezone.now())


def _finish(message: Message, content: Draft, undo_for: float) -> Outgoing:
    if message.account is None:
        raise InvalidMailError("account", "Choose the account to send with.")
    return finish(
        account=message.account,
        owner=message.owner,
        to=read_addresses("to", content.to),
        cc=read_addresses("cc", content.cc),
        bcc=read_addresses("bcc", content.bcc),
        reply_to=read_addresses("reply_to", content.reply_to or message.account.reply_to),
        subject=message.subject,
        priority=message.priority,
        text=content.text,
        html=content.html,
        files=[_part(row) for row in message.attachments.all()],
        send_at=_leave_at(message.send_at, undo_for),
        in_reply_to=message.in_reply_to,
        references=content.references.split(),
        origin=Origin.COMPOSE,
        wants_report=message.wants_report,
    )


def _part(row: Attachment) -> AttachmentPart:
    try:
        data = row.read()
    except OSError as error:
        problem = f"“{row.name}” cannot be read at present: try again later, or remove it."
        raise InvalidMailError("attachments", problem) from error
    return AttachmentPart(
        name=row.name, content_type=row.content_type, data=data, content_id=row.content_id
    )


def _leave_at(send_at: dt.datetime | None, undo_for: float) -> dt.datetime | None:
    """A composed mail waits for the undo window at least."""
    if not undo_for:
        return send_at
    earliest = timezone.now() + dt.timedelta(seconds=undo_for)
    return max(send_at, earliest) if send_at else earliest
