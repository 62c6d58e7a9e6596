"""Undo: a composed mail that has not been tried becomes a draft again."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox.api.acts import CancelResult, cancel
from outbox.api.drafts import summarize_recipients
from outbox.conf import get_conf
from outbox.models import (
    FOLDER_OF,
    Attempt,
    Event,
    EventKind,
    Message,
    Recipient,
    Source,
    State,
    Status,
)
from outbox.models.clock import database_now


def take_back(message: Message, *, actor: AbstractBaseUser) -> CancelResult:
    """Cancel a mail; if that stopped all of it untried, make it a draft again.

    The answer is that of `cancel`: what it says was stopped was stopped, draft or not.
    """
    result = cancel(message, actor=actor)
    if result.stopped and not result.too_late:
        _reopen(message, actor)
    return result


def _reopen(message: Message, actor: AbstractBaseUser) -> None:
    """Throw away what queueing had made. A person who retries at the same time comes first."""
    using = get_conf().database
    with transaction.atomic(using=using):
        recipients = Recipient.objects.using(using).filter(message=message)
        locked = list(recipients.order_by("pk").select_for_update(no_key=True))
        tried = Attempt.objects.using(using).filter(message=message).exists()
        untouched = all(row.state == State.CANCELLED and not row.attempts for row in locked)
        if tried or not untouched or not hasattr(message, "draft"):
            return
        recipients.delete()  # and with them the events that name them
        Event.objects.using(using).create(
            message=message, kind=EventKind.CANCELLED, actor_id=actor.pk, at=database_now(using)
        )
        for source in Source.objects.using(using).filter(message=message):
            if source.file:
                transaction.on_commit(lambda file=source.file: file.delete(save=False), using=using)  # type: ignore[misc]  # a default argument binds the loop's value
            source.delete()
        content = message.draft
        Message.objects.using(using).filter(pk=message.pk).update(
            status=Status.DRAFT,
            folder=FOLDER_OF[Status.DRAFT],
            to_summary=summarize_recipients(content.to),
            queued_at=None,
            send_at=None,
            expires_at=None,
            message_id="",
            recipient_count=0,
        )
