"""Reminders of sent messages that have no reply after some days."""

from __future__ import annotations

import datetime as dt

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import Message, ReplyReminder, Status
from outbox.models.reminder import MAX_DAYS, ReplyReminderQuerySet


def remind_of(message: Message, days: int, *, actor: AbstractBaseUser) -> ReplyReminder:
    """Set or move the reminder of a message. The days are counted from its sending.

    Raise ValueError for days out of range, and for a message that the actor does not own or that is
    a draft.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValueError(f"A reminder has 1 to {MAX_DAYS} days.")
    if message.owner_id != actor.pk or message.status == Status.DRAFT:
        raise ValueError("Only the owner of a sent message can set a reminder.")
    sent_at = message.send_at or message.queued_at or message.created_at
    # A message that was sent long ago gets all of its days.
    due_at = sent_at + dt.timedelta(days=days)
    if due_at <= clock.now():
        due_at = clock.now() + dt.timedelta(days=days)
    row, _is_new = ReplyReminder.objects.using(get_conf().database).update_or_create(
        message=message,
        defaults={"owner_id": actor.pk, "days": days, "remind_at": due_at},
    )
    return row


def forget_reminder(message: Message, *, actor: AbstractBaseUser) -> None:
    """Remove the reminder of the actor's message. A missing one is not an error."""
    reminders = ReplyReminder.objects.using(get_conf().database)
    reminders.filter(message=message.pk, owner=actor.pk).delete()


def due_reminders(user: AbstractBaseUser) -> QuerySet[ReplyReminder]:
    """Return the user's due reminders of messages without a reply, the oldest first."""
    return _own(user).due_at(clock.now()).order_by("remind_at", "pk")


def remove_replied(user: AbstractBaseUser) -> None:
    """Remove the due reminders whose messages have a reply, so that they are not read again."""
    due = _own(user).filter(remind_at__lte=clock.now())
    due.exclude(pk__in=due_reminders(user).order_by().values("pk")).delete()


def _own(user: AbstractBaseUser) -> ReplyReminderQuerySet:
    return ReplyReminder.objects.using(get_conf().database).visible_to(user)
