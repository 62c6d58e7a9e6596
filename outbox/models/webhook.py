"""Webhook: a URL that is notified of changes of state, and the calls to it.

A call is written in the transaction that makes the change, so neither can be lost without the
other. `outbox.webhooks` makes the calls.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.validators import URLValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.fields import DatabaseTimeField
from outbox.models import secrets
from outbox.models.message import Message
from outbox.models.reasons import ReasonField
from outbox.models.states import State

BASE64_MARK = "whsec_"  # precedes a secret that is the key's bytes in Base64 (Standard Webhooks)
_CACHED_FOR = 5.0  # seconds: a delivery must not query the webhooks for each message


class Webhook(models.Model):
    """A URL that receives changes of state, for programs outside of Django."""

    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(
        _("URL"), max_length=2000, validators=[URLValidator(schemes=["https", "http"])]
    )
    secret_encrypted = models.TextField(blank=True, editable=False)
    # The secret before the present one, which also signs until this time.
    former_secret_encrypted = models.TextField(
        blank=True, editable=False, default="", db_default=""
    )
    former_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    states = models.JSONField(
        _("states"),
        default=list,
        blank=True,
        help_text=_("States that trigger this webhook. Empty means all."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = DatabaseTimeField(_("created at"), auto_now_add=True)

    encrypted_for = "outbox.webhook"

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and clear this process's cache; other processes notice within seconds."""
        super().save(*args, **kwargs)
        forget_webhooks()

    @property
    def secret(self) -> str:
        """The key that signs calls, as text. Raises SecretUnreadableError."""
        return secrets.decrypt(self.secret_encrypted, self.encrypted_for)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain, self.encrypted_for)

    def replace_secret(self, plain: str) -> None:
        """Set another secret. The present one also signs for a while."""
        if self.secret_encrypted:
            overlap = dt.timedelta(seconds=get_conf().webhook_secret_overlap)
            self.former_secret_encrypted = self.secret_encrypted
            self.former_secret_until = database_now() + overlap
        self.secret = plain

    def keys_at(self, now: dt.datetime) -> list[bytes]:
        """Return the keys that sign calls at this time, the present one first.

        Raise SecretUnreadableError, and ValueError for bad Base64.
        """
        keys = [key_of(self.secret)]
        if self.former_secret_until is not None and self.former_secret_until > now:
            keys.append(key_of(secrets.decrypt(self.former_secret_encrypted, self.encrypted_for)))
        return keys


def key_of(secret: str) -> bytes:
    """Return a secret as bytes. Raise ValueError for bad Base64."""
    if secret.startswith(BASE64_MARK):
        return base64.b64decode(secret.removeprefix(BASE64_MARK), validate=True)
    return secret.encode()


class WebhookCall(models.Model):
    """The notification of one webhook about one change."""

    # No constraint: deleting a webhook at the same time must not undo a delivery's record.
    webhook = models.ForeignKey(
        Webhook,
        verbose_name=_("webhook"),
        on_delete=models.CASCADE,
        related_name="calls",
        db_constraint=False,
    )
    body = models.TextField()  # the JSON, as it is signed and sent each time
    created_at = models.DateTimeField(_("created at"))
    # NULL: accepted, or expired.
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    taken_at = models.DateTimeField(_("accepted at"), null=True)
    reply_code = models.PositiveSmallIntegerField(null=True)
    result = ReasonField()  # of the last attempt

    class Meta:
        verbose_name = _("webhook call")
        verbose_name_plural = _("webhook calls")
        ordering = ["id"]
        indexes = [
            # Calls that are due, oldest first.
            models.Index(
                fields=["next_attempt_at", "id"],
                name="outbox_webhookcall_due",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Sweep: finished calls to delete, oldest first.
            models.Index(
                fields=["created_at"],
                name="outbox_webhookcall_over",
                condition=models.Q(next_attempt_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


_wanted: dict[str, tuple[float, list[tuple[int, frozenset[str]]]]] = {}


def wanted_states(using: str) -> frozenset[str]:
    """Return the states that trigger any webhook; cached for up to five seconds."""
    return frozenset().union(*(states for _, states in _active(using)))


def forget_webhooks() -> None:
    """Clear the cache, since a webhook changed in this process."""
    _wanted.clear()


def _active(using: str) -> list[tuple[int, frozenset[str]]]:
    known = _wanted.get(using)
    if known is None or known[0] < time.monotonic():
        rows = Webhook.objects.using(using).filter(is_active=True).values_list("pk", "states")
        found = [(pk, frozenset(states or State.values)) for pk, states in rows]
        known = _wanted[using] = (time.monotonic() + _CACHED_FOR, found)
    return known[1]


def note_calls(changes: Sequence[Mapping[str, Any]], using: str) -> None:
    """Write the calls about these changes, inside the transaction that makes them.

    Each change is a `Change` of the signals as a dictionary. What identifies the message is added.
    """
    hooks = [
        (pk, [change for change in changes if change["state"] in states])
        for pk, states in _active(using)
    ]
    if not any(chosen for _, chosen in hooks):
        return
    now = database_now(using)
    identities = _identities(
        {change["message_id"] for _, chosen in hooks for change in chosen}, using
    )
    WebhookCall.objects.using(using).bulk_create(
        WebhookCall(
            webhook_id=pk,
            body=json.dumps(
                {"type": f"recipient.{change['state']}", "timestamp": now.isoformat()}
                | {"data": {**change, **identities.get(change["message_id"], {})}}
            ),
            created_at=now,
            next_attempt_at=now,
        )
        for pk, chosen in hooks
        for change in chosen
    )


def _identities(message_ids: set[int], using: str) -> dict[int, dict[str, Any]]:
    fields = ("pk", "message_id", "subject", "tags", "metadata")
    rows = Message.objects.using(using).filter(pk__in=message_ids).values_list(*fields)
    return {
        pk: {"message_id_header": header, "subject": subject, "tags": tags, "metadata": metadata}
        for pk, header, subject, tags, metadata in rows
    }
