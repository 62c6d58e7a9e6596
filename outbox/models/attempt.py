"""Session and Attempt: one connection, and one SMTP transaction in it, as evidence."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.destination import Destination
from outbox.models.message import Message
from outbox.models.worker import Worker


class Outcome(models.TextChoices):
    """How an attempt ended; empty while it is under way."""

    OPEN = "", _("under way")
    SENT = "sent", _("sent")  # every recipient of it was taken
    PARTIAL = "partial", _("partly sent")
    DEFERRED = "deferred", _("deferred")
    FAILED = "failed", _("failed")
    UNCERTAIN = "uncertain", _("uncertain")
    CANCELLED = "cancelled", _("cancelled")
    ABANDONED = "abandoned", _("abandoned")  # its worker died or lost the lease
    QUARANTINED = "quarantined", _("quarantined")  # our own code failed on it


# Outcomes that are the state of the only recipient, where `results` is empty.
_SAID_BY_COLUMNS = {Outcome.SENT, Outcome.DEFERRED, Outcome.FAILED, Outcome.UNCERTAIN}


def _lines(stored: str) -> list[list[Any]]:
    return list(json.loads(stored)) if stored else []


class Session(models.Model):
    """One connection to a server, shared by the attempts made over it."""

    destination = models.ForeignKey(
        Destination, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False
    )
    worker = models.ForeignKey(
        Worker, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False
    )
    host = models.CharField(max_length=255)
    address = models.CharField(max_length=64, blank=True)
    port = models.PositiveIntegerField(default=0)
    local_address = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    greeting = models.TextField(blank=True)
    extensions = models.JSONField(default=dict)  # EHLO keyword → parameters
    tls = models.JSONField(null=True)  # version, cipher, subject, issuer, not_after, verified
    auth_mechanism = models.CharField(max_length=20, blank=True)
    tried = models.JSONField(default=list)  # addresses that did not answer, each with its error
    phases_ms = models.JSONField(default=dict)
    opening = models.TextField(blank=True)  # transcript up to the first MAIL, as JSON lines
    closing = models.TextField(blank=True)  # transcript from QUIT on

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def opening_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the connection phase."""
        return _lines(self.opening)

    @property
    def closing_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the closing phase."""
        return _lines(self.closing)


class Attempt(models.Model):
    """One try to hand one message to one server, for some of its recipients."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attempts")
    # Unconstrained for the same reason as the recipient's pointers.
    worker = models.ForeignKey(
        Worker,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    session = models.ForeignKey(
        Session,
        null=True,
        on_delete=models.SET_NULL,
        related_name="attempts",
        db_constraint=False,
        db_index=False,
    )
    number_in_session = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    dot_marked_at = models.DateTimeField(null=True)  # "the dot is about to leave" was committed
    cancel_requested_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=Outcome, default="", blank=True)
    is_resend = models.BooleanField(default=False)  # follows an uncertain one, by policy or person

    phase = models.CharField(max_length=10, blank=True)  # where the conversation broke off
    fault = models.CharField(max_length=20, blank=True)
    detail = models.TextField(blank=True)  # one sentence for people
    reply_code = models.PositiveSmallIntegerField(null=True)
    reply_enhanced = models.CharField(max_length=12, blank=True)
    reply_text = models.TextField(blank=True)
    reply_command = models.CharField(max_length=8, blank=True, db_default="")  # what it answers
    # JSON: per recipient address, state, command, reply. Empty where the columns above say it all.
    results = models.TextField(blank=True)
    phases_ms = models.TextField(blank=True)  # JSON: phase → milliseconds
    transfer = models.TextField(blank=True)  # transcript MAIL … dot, as JSON lines
    sent_sha256 = models.CharField(max_length=64, blank=True)  # set when a derived form was sent
    late_reply = models.TextField(blank=True)  # what the server said after the lease was lost
    traceback = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"attempt {self.pk} of message {self.message_id}"

    @property
    def transfer_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the transfer phase."""
        return _lines(self.transfer)

    @property
    def result_rows(self) -> list[dict[str, Any]]:
        """What this attempt meant for each of its recipients; of one, its own columns say it."""
        if self.results:
            return list(json.loads(self.results))
        if self.outcome not in _SAID_BY_COLUMNS or self.message.recipient_count != 1:
            return []
        return [
            {
                "recipient": recipient.pk,
                "address": recipient.address,
                "state": self.outcome,
                "command": self.reply_command,
                "code": self.reply_code,
                "enhanced": self.reply_enhanced,
                "text": self.reply_text,
            }
            for recipient in self.message.recipients.all()
        ]

    @property
    def phase_times(self) -> dict[str, float]:
        """Milliseconds spent in each phase."""
        return dict(json.loads(self.phases_ms)) if self.phases_ms else {}
