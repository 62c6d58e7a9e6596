r"""SentCopy: whether the copy of a sent message is in the \Sent mailbox of its account."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.mailbox import Mailbox
from outbox.models.message import Message
from outbox.models.reasons import ReasonField


class SentCopy(models.Model):
    """The copy of one message. It exists from soon after the message was queued.

    `next_at` is also the lease of the process that appends the copy: until then no other does.
    """

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="sent_copy"
    )
    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, related_name="sent_copies", db_index=False
    )
    attempts = models.PositiveSmallIntegerField(
        default=0
    )  # begun, also those that were interrupted
    next_at = models.DateTimeField(null=True)  # None: stored, or stopped
    reason = ReasonField()  # why the last attempt failed
    filed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("copy of a sent message")
        verbose_name_plural = _("copies of sent messages")
        indexes = [
            # The periodic run: the copies that are due.
            models.Index(
                fields=["mailbox", "next_at"],
                name="outbox_sentcopy_due",
                condition=models.Q(next_at__isnull=False),
            ),
            # The page of a mailbox: the copies that failed, and why.
            models.Index(
                fields=["mailbox"],
                name="outbox_sentcopy_failed",
                condition=~models.Q(reason=""),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
