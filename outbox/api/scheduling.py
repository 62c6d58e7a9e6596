"""Scheduled messages: send one now, change its time, or return it to the drafts.

A worker may claim the message at the same time. Its recipients are locked first, in the order in
which a claim and the other actions lock them, and a claimed message is not changed: exactly one of
the two wins.
"""

import datetime as dt
from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox import wakeup
from outbox.api.async_variants import as_async
from outbox.api.drafts import summarize_recipients
from outbox.api.handle import Handle
from outbox.api.values import read_moment
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import InvalidMessageError, NotScheduledError, StorageWriteError
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
from outbox.models.discarded_file import discard_files
from outbox.models.rollup import roll_up
from outbox.models.search import index_messages
from outbox.models.senders import check_may_send
from outbox.models.transitions import withdraw


def reschedule(
    message: Message | Handle,
    send_at: dt.datetime,
    *,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> None:
    """Change the time of a scheduled message, and the end of its lifetime with it.

    Raise InvalidMessageError for a time that is past or has no time zone, and NotScheduledError
    when the message is not scheduled any more; then nothing changed. Raise AccountNotUsableError
    if the author may no longer send with the account.
    """
    using = get_conf().database
    read_moment("send_at", send_at)
    with transaction.atomic(using=using):
        row, recipients = _locked(message, using)
        check_may_send(row, using)
        now = database_now(using)
        if send_at <= now:
            raise InvalidMessageError("send_at", "That time has passed.")
        _move(row, recipients, send_at, now, using)
        _record(row, EventKind.RESCHEDULED, actor, why, now, using)


def send_now(
    message: Message | Handle,
    *,
    actor: AbstractBaseUser | None = None,
    why: str = "",
    undo_period: float = 0,
) -> None:
    """Send a scheduled message at once, or after `undo_period` seconds.

    Raises NotScheduledError if it is no longer scheduled, and AccountNotUsableError if the author
    may no longer send with the account; then nothing changed.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row, recipients = _locked(message, using)
        check_may_send(row, using)
        now = database_now(using)
        row.queued_at = now  # the undo period starts here
        _move(row, recipients, now + dt.timedelta(seconds=undo_period), now, using)
        _record(row, EventKind.RESCHEDULED, actor, why, now, using)
        wakeup.notify(using)


def return_to_drafts(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> Message:
    """Change a scheduled message back to a draft, which keeps its time. Return the draft.

    Raises NotScheduledError if it is no longer scheduled, or was not composed here and has no
    draft; then nothing changed.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        row, recipients = _locked(message, using)
        if not hasattr(row, "draft"):
            raise NotScheduledError("This message was not composed here, so it has no draft.")
        make_draft(row, recipients, using, send_at=row.send_at, why=why)
        _record(row, EventKind.REOPENED, actor, why, database_now(using), using)
        index_messages([row.pk], using)
    return row


areschedule = as_async(reschedule)
asend_now = as_async(send_now)
areturn_to_drafts = as_async(return_to_drafts)


def make_draft(
    message: Message,
    recipients: Sequence[Recipient],
    using: str,
    *,
    send_at: dt.datetime | None,
    why: str = "",
) -> None:
    """Delete the rows that queueing added. The caller has locked the message's recipients."""
    withdraw(recipients, why, using)
    for source in Source.objects.using(using).filter(message=message):
        discard_files([source.file.name], using)
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
    """Lock a scheduled message and return it with its recipients."""
    recipients = Recipient.objects.using(using).filter(message=message.pk)
    rows = list(recipients.order_by("pk").select_for_update(no_key=True))
    found = Message.objects.using(using).filter(pk=message.pk).select_for_update(no_key=True)
    row = found.first()
    is_waiting = any(one.state == State.QUEUED for one in rows)
    untried = all(one.state in {State.QUEUED, State.CANCELLED} and not one.attempts for one in rows)
    if row is None or row.status != Status.SCHEDULED or not is_waiting or not untried:
        raise NotScheduledError("This message is not scheduled any more.")
    return row, rows


def _move(
    row: Message, recipients: list[Recipient], send_at: dt.datetime, now: dt.datetime, using: str
) -> None:
    before = row.send_at or now
    if row.expires_at is not None:
        row.expires_at += send_at - before
    row.send_at = send_at
    _move_date(row, before, using)
    row.save(using=using, update_fields=["queued_at", "send_at", "expires_at", "size"])
    waiting = [one.pk for one in recipients if one.state == State.QUEUED]
    Recipient.objects.using(using).filter(pk__in=waiting).update(
        next_attempt_at=send_at, expires_at=row.expires_at
    )
    roll_up([row.pk], now, using)


def _move_date(row: Message, before: dt.datetime, using: str) -> None:
    """Write the new time into the Date header, if that had the old one."""
    source = Source.objects.using(using).get(message=row)
    assert row.send_at is not None
    try:
        content = replace_date(source.read(), before, row.send_at)
        facts = validate_source(content)
    except (OSError, SourceError):
        return  # the delivery reports a source that cannot be read or sent
    if facts.sha256 == source.sha256:
        return
    try:
        new = Source.of(row.pk, content, facts.sha256, erase_at=source.erase_at)
    except StorageWriteError:
        return  # the message can be sent with its former date
    discard_files([source.file.name], using)
    new.save(using=using)
    row.size = facts.size


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
