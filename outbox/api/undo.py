"""Undo: a composed mail that has not been tried becomes a draft again."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox.api.acts import CancelResult, cancel
from outbox.api.scheduling import make_draft
from outbox.conf import get_conf
from outbox.models import Attempt, Event, EventKind, Message, Recipient, State
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
        Event.objects.using(using).create(
            message=message, kind=EventKind.CANCELLED, actor_id=actor.pk, at=database_now(using)
        )
        make_draft(message, using, send_at=None)
