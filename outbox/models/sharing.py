"""Sharing an account: it is offered to users and groups, and each user accepts or declines.

`Account.users` and `Account.groups` are the offers. An offer without a decision is an invitation.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from outbox.models.account import Account


class ShareDecision(models.Model):
    """What a user decided about the invitation to send with an account."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="decisions")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )  # the constraint's index starts with it
    is_accepted = models.BooleanField()  # otherwise declined, or left again
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("decision on a shared account")
        verbose_name_plural = _("decisions on shared accounts")
        constraints = [
            models.UniqueConstraint(fields=["user", "account"], name="outbox_share_decision_one")
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
