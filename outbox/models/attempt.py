"""SMTP sessions and attempts: connections, and the SMTP transactions made over them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.models.destination import Destination
from outbox.models.message import Message
from outbox.models.reasons import ReasonField
from outbox.models.worker import Worker
from outbox.reasons import Reason

if TYPE_CHECKING:
    from outbox.mail.dkim import Signature


class Outcome(models.TextChoices):
    """How an attempt ended; empty while it is open."""

    OPEN = "", _("in progress")
    SENT = "sent", _("sent")  # accepted for every recipient
    PARTIAL = "partial", _("partially sent")
    DEFERRED = "deferred", _("deferred")
    FAILED = "failed", _("failed")
    UNCERTAIN = "uncertain", _("uncertain")
    CANCELLED = "cancelled", _("cancelled")
    ABANDONED = "abandoned", _("abandoned")  # its worker died or lost its lease
    QUARANTINED = "quarantined", _("quarantined")  # an internal error


# Outcomes that equal the state of the only recipient, for which `results` is empty.
_OUTCOME_IS_STATE = {Outcome.SENT, Outcome.DEFERRED, Outcome.FAILED, Outcome.UNCERTAIN}


def _lines(stored: str) -> list[list[Any]]:
    return list(json.loads(stored)) if stored else []


class SmtpSession(models.Model):
    """One connection to a server, shared by the attempts over it."""

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
    # Of delivery by MX: the level of TLS that was requested and why, and what came of it.
    tls_requested = models.CharField(max_length=16, blank=True, default="", db_default="")
    tls_policy = ReasonField(db_default="")
    tls_achieved = models.CharField(max_length=16, blank=True, default="", db_default="")
    tls_why = ReasonField(db_default="")
    auth_mechanism = models.CharField(max_length=20, blank=True)
    tried = models.JSONField(default=list)  # addresses that failed, each with its reason
    phases_ms = models.JSONField(default=dict)
    opening = models.TextField(blank=True)  # transcript of the handshake, as JSON lines
    closing = models.TextField(blank=True)  # transcript from QUIT on

    class Meta:
        verbose_name = _("SMTP session")
        verbose_name_plural = _("SMTP sessions")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def failed_addresses(self) -> list[tuple[str, Reason]]:
        """The addresses to which no connection was opened, each with the reason."""
        return [(address, Reason.load(stored)) for address, stored in self.tried]

    @property
    def opening_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the connection phase."""
        return _lines(self.opening)

    @property
    def closing_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the closing phase."""
        return _lines(self.closing)


class Attempt(models.Model):
    """One attempt to deliver a message to a server, for some of its recipients."""

    message = models.ForeignKey(
        Message, verbose_name=_("message"), on_delete=models.CASCADE, related_name="attempts"
    )
    # No database constraints, for the same reason as for the recipient.
    worker = models.ForeignKey(
        Worker,
        verbose_name=_("worker"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    session = models.ForeignKey(
        SmtpSession,
        null=True,
        on_delete=models.SET_NULL,
        related_name="attempts",
        db_constraint=False,
        db_index=False,
    )
    number_in_session = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(_("started at"))
    # About to send the final dot.
    dot_marked_at = models.DateTimeField(_("final dot marked at"), null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome, default="", blank=True)
    is_resend = models.BooleanField(default=False)  # follows an uncertain attempt

    phase = models.CharField(_("phase"), max_length=10, blank=True)  # the phase in which it failed
    fault = models.CharField(_("fault"), max_length=20, blank=True)
    reason = ReasonField()  # why the transaction ended early
    reply_code = models.PositiveSmallIntegerField(null=True)
    reply_enhanced = models.CharField(max_length=12, blank=True)
    reply_text = models.TextField(blank=True)
    reply_command = models.CharField(max_length=8, blank=True, db_default="")  # replied to
    # JSON: address, state, command and reply of each recipient. Empty where the columns suffice.
    results = models.TextField(blank=True)
    phases_ms = models.TextField(blank=True)  # JSON: phase → milliseconds
    transfer = models.TextField(blank=True)  # transcript MAIL … dot, as JSON lines
    sent_sha256 = models.CharField(max_length=64, blank=True)  # set if a derived form was sent
    # The DKIM-Signature fields sent before the source. NULL if there were none: it takes no space.
    signature = models.TextField(_("signature"), null=True)  # noqa: DJ001
    # The reply that arrived after the lease was lost.
    late_reply = models.TextField(_("late reply"), blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def transfer_lines(self) -> list[list[Any]]:
        """[ms, "C" | "S" | "-", text] for each line of the transfer phase."""
        return _lines(self.transfer)

    @property
    def result_rows(self) -> list[dict[str, Any]]:
        """The result for each recipient; for a single one, taken from the attempt's columns."""
        if self.results:
            rows: list[dict[str, Any]] = json.loads(self.results)
            for row in rows:
                if isinstance(row.get("text"), int):  # the row that has the same text
                    row["text"] = rows[row["text"]]["text"]
            return rows
        if self.outcome not in _OUTCOME_IS_STATE or self.message.recipient_count != 1:
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
    def signatures(self) -> list[Signature]:
        """The DKIM signatures that were sent."""
        from outbox.mail.dkim import read_signatures  # only pages read them

        return read_signatures(self.signature) if self.signature else []

    @property
    def phase_times(self) -> dict[str, float]:
        """Milliseconds spent in each phase."""
        return dict(json.loads(self.phases_ms)) if self.phases_ms else {}
