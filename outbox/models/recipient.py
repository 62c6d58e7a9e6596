"""Recipient: one address of one message, and its state, which is the truth of the system."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from outbox.models.attempt import Attempt
from outbox.models.destination import Destination
from outbox.models.folded import FoldedIndex
from outbox.models.message import Message
from outbox.models.states import State

REFUSALS_FROM = 300  # reply codes below it say that the server accepted something


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
    """One envelope recipient. Only guarded updates change `state`.

    `state` is in no index and in no index's condition, so that a claim, which changes it, writes no
    index entry (docs/decisions/0008). What waits is known by `next_attempt_at` instead.
    """

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
    next_attempt_at = models.DateTimeField(null=True)  # set exactly while queued, deferred, sending
    resend_at = models.DateTimeField(null=True)  # uncertain: when the policy sends it again
    expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    # Attempts before the last retry by a person: those since then count towards the limit.
    attempts_at_retry = models.PositiveIntegerField(default=0, db_default=0)
    first_attempt_at = models.DateTimeField(null=True)
    last_attempt_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)  # when the state became final
    ended_as = models.CharField(max_length=10, null=True)  # noqa: DJ001  # NULL, or one of ENDS

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
                name="outbox_recipient_claim",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Worker: where something is due, and when.
            models.Index(
                fields=["destination", "next_attempt_at"],
                name="outbox_recipient_poll",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Sweep: what reached its queue lifetime.
            models.Index(
                fields=["expires_at"],
                name="outbox_recipient_expire",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Sweep: uncertain ones whose policy is due.
            models.Index(
                fields=["resend_at"],
                name="outbox_recipient_resend",
                condition=models.Q(resend_at__isnull=False),
            ),
            # Search by reply code: which refusals one sender's messages got, and which got each.
            models.Index(
                fields=["sender_key", "reply_code", "reply_enhanced", "-message"],
                name="outbox_recipient_refusal",
                condition=models.Q(reply_code__gte=REFUSALS_FROM),
            ),
            # Search by state: which of one sender's messages ended as no message's status says.
            models.Index(
                fields=["sender_key", "ended_as", "-message"],
                name="outbox_recipient_end",
                condition=models.Q(ended_as__isnull=False),
            ),
            # Search by recipient, whole address or its beginning, in any case.
            FoldedIndex("address", name="outbox_recipient_folded"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def next_at(self) -> dt.datetime | None:
        """When something happens to it by itself: an attempt, or the uncertain policy."""
        return self.next_attempt_at or self.resend_at


def is_being_sent() -> models.Exists:
    """Return the condition on messages that a worker holds a recipient of theirs."""
    sending = Recipient.objects.filter(message=models.OuterRef("pk"), state=State.SENDING)
    return models.Exists(sending)
