"""Scheduled messages: send one now, change its time, or return it to the drafts.

A worker may claim the message at the same moment. Its recipients are locked first, in the order in
which a claim and the other actions lock them, and what was claimed is left alone: exactly one of
the two wins.
"""

import datetime as dt
from contextlib import suppress
from functools import partial

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models.fields.files import FieldFile

from outbox import bell
from outbox.api.drafts import summarize_recipients
from outbox.api.handle import Handle
from outbox.api.twins import twin
from outbox.api.values import read_moment
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError, NotScheduledError
from outbox.mail.source import SourceError, replace_date, validate_source
from outbox.models import (
    FOLDER_OF,
    Event,
    EventKind,
    Message,
    Recipient,
    Source,
    State,
    Status,
)
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up
from outbox.models.search import put_in as put_in_search
from outbox.signals import Change, tell_on_commit


def reschedule(
    message: Message | Handle,
    send_at: dt.datetime,
    *,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> None:
    """Change the time of a scheduled message; its lifetime moves along.

    Raises InvalidMailError for a time that is past or has no time zone, and NotScheduledError when
    the message is not scheduled any more; then nothing changed.
    """
    using = get_conf().database
    read_moment("send_at", send_at)
    with transaction.atomic(using=using):
        row, waiting = _locked(message, using)
        now = database_now(using)
        if send_at <= now:
            raise InvalidMailError("send_at", "That time has passed.")
        _move(row, waiting, send_at, now, using)
        _record(row, EventKind.RESCHEDULED, actor, why, now, using)


def send_now(
    message: Message | Handle,
    *,
    actor: AbstractBaseUser | None = None,
    why: str = "",
    undo_for: float = 0,
) -> None:
    """Send a scheduled message at once, or after `undo_for` seconds.

    Raises NotScheduledError when it is not scheduled any more; then nothing changed.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row, waiting = _locked(message, using)
        now = database_now(using)
        row.queued_at = now  # the time to undo is counted from here
        _move(row, waiting, now + dt.timedelta(seconds=undo_for), now, using)
        _record(row, EventKind.RESCHEDULED, actor, why, now, using)
        bell.ring(using)


def return_to_drafts(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> Message:
    """Make a scheduled message a draft again; it keeps its time. Return the draft.

    Raises NotScheduledError when it is not scheduled any more, or was not composed here and has no
    draft; then nothing changed.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row, waiting = _locked(message, using)
        if not hasattr(row, "draft"):
            raise NotScheduledError("This message was not composed here, so it has no draft.")
        now = database_now(using)
        changes = [Change.of(one, State.CANCELLED, why) for one in waiting]
        make_draft(row, using, send_at=row.send_at)
        _record(row, EventKind.REOPENED, actor, why, now, using)
        put_in_search([row.pk], using)
        tell_on_commit(changes, using)
    return row


areschedule = twin(reschedule)
asend_now = twin(send_now)
areturn_to_drafts = twin(return_to_drafts)


def make_draft(message: Message, using: str, *, send_at: dt.datetime | None) -> None:
    """Delete what queueing made of a draft. The caller has locked the message's recipients."""
    Recipient.objects.using(using).filter(message=message).delete()  # and the events that name them
    for source in Source.objects.using(using).filter(message=message):
        _delete_on_commit(source.file, using)
        source.delete()
    message.status = Status.DRAFT
    message.folder = FOLDER_OF[Status.DRAFT]
    message.to_summary = summarize_recipients(message.draft.to)
    message.queued_at = message.expires_at = None
    message.send_at = send_at
    message.message_id = ""
    message.recipient_count = 0
    message.save(
        using=using,
        update_fields=[
            "status", "folder", "to_summary", "queued_at", "expires_at", "send_at", "message_id",
            "recipient_count",
        ],
    )  # fmt: skip


def _locked(message: Message | Handle, using: str) -> tuple[Message, list[Recipient]]:
    """Lock a scheduled message and return it with its waiting recipients."""
    recipients = Recipient.objects.using(using).filter(message=message.pk)
    rows = list(recipients.order_by("pk").select_for_update(no_key=True))
    found = Message.objects.using(using).filter(pk=message.pk).select_for_update(no_key=True)
    row = found.first()
    waiting = [one for one in rows if one.state == State.QUEUED]
    untried = all(one.state in {State.QUEUED, State.CANCELLED} and not one.attempts for one in rows)
    if row is None or row.status != Status.SCHEDULED or not waiting or not untried:
        raise NotScheduledError("This message is not scheduled any more.")
    return row, waiting


def _move(
    row: Message, waiting: list[Recipient], send_at: dt.datetime, now: dt.datetime, using: str
) -> None:
    before = row.send_at or now
    if row.expires_at is not None:
        row.expires_at += send_at - before
    row.send_at = send_at
    _move_date(row, before, using)
    row.save(using=using, update_fields=["queued_at", "send_at", "expires_at", "size"])
    recipients = Recipient.objects.using(using).filter(pk__in=[one.pk for one in waiting])
    recipients.update(next_attempt_at=send_at, expires_at=row.expires_at)
    roll_up([row.pk], now, using)


def _move_date(row: Message, before: dt.datetime, using: str) -> None:
    """Write the new time into the Date header, where that named the old one."""
    source = Source.objects.using(using).get(message=row)
    assert row.send_at is not None
    try:
        content = replace_date(source.read(), before, row.send_at)
        facts = validate_source(content)
    except (OSError, SourceError):
        return  # the delivery reports what cannot be read or sent
    if facts.sha256 == source.sha256:
        return
    if source.file:
        _delete_on_commit(source.file, using)
    Source.of(row.pk, content, facts.sha256).save(using=using)
    row.size = facts.size


def _delete_on_commit(file: FieldFile, using: str) -> None:
    if file:
        transaction.on_commit(partial(_delete_file, file), using=using)


def _delete_file(file: FieldFile) -> None:
    with suppress(OSError):  # an orphaned file is not worth a failed request
        file.delete(save=False)


def _record(
    row: Message,
    kind: EventKind,
    actor: AbstractBaseUser | None,
    why: str,
    now: dt.datetime,
    using: str,
) -> None:
    Event.objects.using(using).create(
        message=row, kind=kind, actor_id=actor.pk if actor else None, why=why, at=now
    )
