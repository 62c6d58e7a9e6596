"""PendingHold: recipients that are being held, in batches. A claim takes none of them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField
from outbox.models.account import Account
from outbox.models.reasons import ReasonField


class PendingHold(models.Model):
    """The recipients of an account, or of one sender with it, that are still to be held."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    sender_key = models.BigIntegerField(null=True)  # as of recipients; None: all senders
    is_for_composed = models.BooleanField()  # apps may still send for the user
    reason = ReasonField()
    highest_id = models.BigIntegerField()  # the highest recipient's; what is queued later may wait
    held_count = models.PositiveIntegerField(default=0)  # recipients, so far
    started_at = DatabaseTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("pending hold")
        verbose_name_plural = _("pending holds")

    def __str__(self) -> str:
        return str(self.account)
