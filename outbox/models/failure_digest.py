"""FailureDigest: the failed messages that are reported to one addressee by email."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.message import Message


class FailureDigest(models.Model):
    """One row per addressee: a user, or the addresses that receive reports of app messages."""

    addressee_key = models.BigIntegerField(primary_key=True)  # the owner's id, 0 for no owner
    due_at = models.DateTimeField(null=True)  # NULL: nothing is collected
    sent_at = models.DateTimeField(null=True)  # when the last digest was queued
    messages = models.ManyToManyField(Message, related_name="+")

    class Meta:
        verbose_name = _("failure digest")
        verbose_name_plural = _("failure digests")
        indexes = [
            # Sweep: digests that are due.
            models.Index(
                fields=["due_at"],
                name="outbox_digest_due",
                condition=models.Q(due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"failure digest of {self.addressee_key or 'the site'}"
