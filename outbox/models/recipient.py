"""Recipient: one address of one message, and its state, which is the truth of the system."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from outbox.models.attempt import Attempt
from outbox.models.destination import Destination
from outbox.models.folded import FoldedIndex
from outbox.models.message import Message
from outbox.models.states import DUE, State


class Role(models.TextChoices):
    TO = "to", _("To")
    CC = "cc", _("Cc")
    BCC = "bcc", _("Bcc")


class RecipientQuerySet(models.QuerySet["Recipient"]):
    """Addresses are compared without regard to case, by an index."""

    def with_address(self, address: str) -> RecipientQuerySet:
        """Limit to the recipients with this address."""
        return self.alias(folded=Lower("address")).filter(folded=Lower(models.Value(address)))

    def with_address_in(self, addresses: Iterable[str]) -> RecipientQuerySet:
        """Limit to the recipients with one of these addresses."""
        folded = [Lower(models.Value(address)) for address in addresses]
        return self.alias(folded=Lower("address")).filter(folded__in=folded)

    def with_address_beginning(self, start: str) -> RecipientQuerySet:
        """Limit to the recipients whose address begins so."""
        return self.alias(folded=Lower("address")).filter(folded__startswith=start.lower())


class Recipient(models.Model):
    """One envelope recipient. Only guarded updates change `state`."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="recipients")
    role = models.CharField(max_length=3, choices=Role, default=Role.TO)
    name = models.CharField(max_length=255, blank=True)
    address = models.CharField(max_length=320)
    # No database constraint on the three pointers below: each would lock a hot parent row at
    # every claim, and what they point to outlives the recipient's interest in it.
    destination = models.ForeignKey(
        Destination,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    attempt = models.ForeignKey(
        Attempt,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )  # the latest; while sending, the fencing token
    sender_key = models.BigIntegerField(default=0)  # whose turn it is: the owner's id, 0 for none
    priority = models.PositiveSmallIntegerField(default=3)

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    next_attempt_at = models.DateTimeField(null=True)  # uncertain: when the policy acts
    expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    # Attempts before the last retry by a person: those since then count towards the limit.
    attempts_at_retry = models.PositiveIntegerField(default=0, db_default=0)
    first_attempt_at = models.DateTimeField(null=True)
    last_attempt_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)  # when the state became final

    reply_code = models.PositiveSmallIntegerField(null=True)
    reply_enhanced = models.CharField(max_length=12, blank=True)
    reply_text = models.TextField(blank=True)
    reply_command = models.CharField(max_length=8, blank=True)  # MAIL, RCPT, DATA or DOT
    remote_host = models.CharField(max_length=255, blank=True)
    remote_queue_id = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)  # why it is in this state, in one sentence

    objects = RecipientQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            # Claim: per destination, most urgent first, sender by sender, what is due.
            models.Index(
                fields=["destination", "priority", "sender_key", "next_attempt_at", "id"],
                name="outbox_recipient_due",
                condition=models.Q(state__in=[state.value for state in DUE]),
            ),
            # Worker: where something is due, and when; its first entry answers.
            models.Index(
                fields=["destination", "next_attempt_at"],
                name="outbox_recipient_next",
                condition=models.Q(state__in=[state.value for state in DUE]),
            ),
            # Sweep: what reached its queue lifetime.
            models.Index(
                fields=["expires_at"],
                name="outbox_recipient_expiry",
                condition=models.Q(state__in=[state.value for state in DUE]),
            ),
            # Sweep: what a dead worker held.
            models.Index(
                fields=["attempt"],
                name="outbox_recipient_sending",
                condition=models.Q(state=State.SENDING.value),
            ),
            # Sweep: uncertain ones whose policy is due.
            models.Index(
                fields=["next_attempt_at"],
                name="outbox_recipient_uncertain",
                condition=models.Q(state=State.UNCERTAIN.value),
            ),
            # Search by reply code: which replies one sender's mail got, and which mail got each.
            models.Index(
                fields=["sender_key", "reply_code", "reply_enhanced", "-message"],
                name="outbox_recipient_reply",
                condition=models.Q(reply_code__isnull=False),
            ),
            # Search by state: what of one sender's ended as no message does.
            models.Index(
                fields=["sender_key", "state", "-message"],
                name="outbox_recipient_ended",
                condition=models.Q(state__in=[State.EXPIRED.value, State.BOUNCED.value]),
            ),
            # Search by recipient, whole address or its beginning, in any case.
            FoldedIndex("address", name="outbox_recipient_folded"),
        ]

    def __str__(self) -> str:
        return self.address
