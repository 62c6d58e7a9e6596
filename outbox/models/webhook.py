"""Webhook: a URL that is told of changes of state, and the calls that are due to it.

A call is a row of the transaction that made the change, so neither can be lost without the other.
Who makes the calls, and when again, is `delivery`'s business.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.validators import URLValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models import secrets
from outbox.models.clock import database_now
from outbox.models.message import Message
from outbox.models.states import State

BASE64_MARK = "whsec_"  # begins a secret whose rest is the key's bytes (Standard Webhooks)
_REMEMBERED_FOR = 5.0  # seconds: no delivery asks for every mail who wants to hear of it


class Webhook(models.Model):
    """Where to tell what became of mail, for programs that cannot hear Django's signals."""

    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(
        _("URL"), max_length=2000, validators=[URLValidator(schemes=["https", "http"])]
    )
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it, and tell this process that it changed; others notice within seconds."""
        super().save(*args, **kwargs)
        forget_webhooks()

    @property
    def secret(self) -> str:
        """What calls are signed with. Raises SecretUnreadableError."""
        return secrets.decrypt(self.secret_encrypted)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain)

    @property
    def key(self) -> bytes:
        """The secret as bytes. Raises SecretUnreadableError, and ValueError for bad Base64."""
        plain = self.secret
        if plain.startswith(BASE64_MARK):
            return base64.b64decode(plain.removeprefix(BASE64_MARK), validate=True)
        return plain.encode()


class WebhookCall(models.Model):
    """One change to be told to one webhook, until it was taken or is given up."""

    # Unconstrained: a webhook that is deleted at the same moment must not undo a delivery's record.
    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, related_name="calls", db_constraint=False
    )
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
            ),
            # What is over, oldest first: the sweep deletes it some day.
            models.Index(
                fields=["created_at"],
                name="outbox_webhookcall_over",
                condition=models.Q(next_attempt_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of {self.webhook_id}"


_wanted: dict[str, tuple[float, list[tuple[int, frozenset[str]]]]] = {}


def wanted_states(using: str) -> frozenset[str]:
    """Return the states that any webhook is told of; up to five seconds old."""
    return frozenset().union(*(states for _, states in _active(using)))


def forget_webhooks() -> None:
    """Ask anew who wants to hear: a webhook was changed in this process."""
    _wanted.clear()


def _active(using: str) -> list[tuple[int, frozenset[str]]]:
    known = _wanted.get(using)
    if known is None or known[0] < time.monotonic():
        rows = Webhook.objects.using(using).filter(is_active=True).values_list("pk", "states")
        found = [(pk, frozenset(states or State.values)) for pk, states in rows]
        known = _wanted[using] = (time.monotonic() + _REMEMBERED_FOR, found)
    return known[1]


def note_calls(changes: Sequence[Mapping[str, Any]], using: str) -> None:
    """Write the calls that these changes make due, inside the transaction that makes them.

    Each is what a `Change` of the signals holds; the mail's own marks are added.
    """
    hooks = [
        (pk, [change for change in changes if change["state"] in states])
        for pk, states in _active(using)
    ]
    if not any(chosen for _, chosen in hooks):
        return
    now = database_now(using)
    marks = _marks({change["message_id"] for _, chosen in hooks for change in chosen}, using)
    WebhookCall.objects.using(using).bulk_create(
        WebhookCall(
            webhook_id=pk,
            body=json.dumps(
                {"type": f"recipient.{change['state']}", "timestamp": now.isoformat()}
                | {"data": {**change, **marks.get(change["message_id"], {})}}
            ),
            created_at=now,
            next_attempt_at=now,
        )
        for pk, chosen in hooks
        for change in chosen
    )


def _marks(message_ids: set[int], using: str) -> dict[int, dict[str, Any]]:
    fields = ("pk", "message_id", "subject", "tags", "metadata")
    rows = Message.objects.using(using).filter(pk__in=message_ids).values_list(*fields)
    return {
        pk: {"message_id_header": header, "subject": subject, "tags": tags, "metadata": metadata}
        for pk, header, subject, tags, metadata in rows
    }
