"""ReplyReminder: a sent message to which its owner expects a reply."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext_lazy as _

from outbox.models.inbound import InboundKind, InboundMessage
from outbox.models.message import Message

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

MAX_DAYS = 365


class ReplyReminderQuerySet(models.QuerySet["ReplyReminder"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> ReplyReminderQuerySet:
        """Limit to the user's own reminders."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def due_at(self, now: dt.datetime) -> ReplyReminderQuerySet:
        """Limit to the reminders whose time has come, and whose message has no reply."""
        replies = InboundMessage.objects.filter(
            replies_to=OuterRef("message"), kind=InboundKind.MESSAGE
        )
        return self.filter(~Exists(replies), remind_at__lte=now)


class ReplyReminder(models.Model):
    """A reminder that is shown if a message has no reply at a time.

    A reply ends it, and so does its owner. Bounces and automatic replies do not.
    """

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="reply_reminder"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # the index of due reminders starts with it
    days = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_DAYS)]
    )
    remind_at = models.DateTimeField()

    objects = ReplyReminderQuerySet.as_manager()

    class Meta:
        verbose_name = _("reminder")
        verbose_name_plural = _("reminders")
        indexes = [
            # The due reminders of one user, which every page shows.
            models.Index(fields=["owner", "remind_at"], name="outbox_reminder_due")
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
