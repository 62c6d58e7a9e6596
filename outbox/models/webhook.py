"""Webhook: a URL that is told of changes of state, and the calls that are due to it.

A call is a row of the transaction that made the change, so neither can be lost without the other.
Who makes the calls, and when again, is `delivery`'s business.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models import secrets


class Webhook(models.Model):
    """Where to tell what became of mail, for programs that cannot hear Django's signals."""

    name = models.CharField(_("name"), max_length=100)
    url = models.URLField(_("URL"), max_length=2000)
    secret_encrypted = models.TextField(blank=True, editable=False)
    states = models.JSONField(
        _("states"), default=list, blank=True, help_text=_("Those it is told of; empty: all.")
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        """The key that calls are signed with. Raises SecretUnreadableError."""
        return secrets.decrypt(self.secret_encrypted)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain)


class WebhookCall(models.Model):
    """One change to be told to one webhook, until it was taken or is given up."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="calls")
    body = models.TextField()  # the JSON, as it is signed and sent each time
    created_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField(null=True)  # NULL: taken, or given up
    attempts = models.PositiveIntegerField(default=0)
    taken_at = models.DateTimeField(null=True)
    reply_code = models.PositiveSmallIntegerField(null=True)
    detail = models.TextField(blank=True)  # what came of the last attempt, in one sentence

    class Meta:
        ordering = ["id"]
        indexes = [
            # What is due, oldest first.
            models.Index(
                fields=["next_attempt_at", "id"],
                name="outbox_webhookcall_due",
                condition=models.Q(next_attempt_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of {self.webhook_id}"
