"""Undo: a composed message without an attempt becomes a draft again."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox.api.actions import CancelResult, cancel
from outbox.api.scheduling import make_draft
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Attempt, Event, EventKind, Message, Recipient, State


def take_back(message: Message, *, actor: AbstractBaseUser) -> CancelResult:
    """Cancel a message, and make it a draft again if nothing was attempted.

    Return the result of `cancel`, which holds whether or not the message became a draft.
    """
    result = cancel(message, actor=actor)
    if result.stopped and not result.too_late:
        _reopen(message, actor)
    return result


def _reopen(message: Message, actor: AbstractBaseUser) -> None:
    """Change the message back to a draft, unless a retry at the same time came first."""
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
        make_draft(message, locked, using, send_at=None)
