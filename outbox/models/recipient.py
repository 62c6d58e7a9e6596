"""Recipient: an envelope address of a message, with the state of its delivery."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from outbox.db.folded import FoldedIndex
from outbox.mail.wire_ids import wire_message_id
from outbox.models.attempt import Attempt
from outbox.models.destination import Destination
from outbox.models.message import Message
from outbox.models.reasons import ReasonField
from outbox.models.states import State

REFUSALS_FROM = 300  # reply codes from here on reject something


class Role(models.TextChoices):
    TO = "to", _("To")
    CC = "cc", _("Cc")
    BCC = "bcc", _("Bcc")


class RecipientQuerySet(models.QuerySet["Recipient"]):
    """Queries by address ignore case and use an index."""

    def with_address(self, address: str) -> RecipientQuerySet:
        """Limit to the recipients with this address."""
        return self.alias(folded=Lower("address")).filter(folded=Lower(models.Value(address)))

    def with_address_in(self, addresses: Iterable[str]) -> RecipientQuerySet:
        """Limit to the recipients with one of these addresses."""
        folded = [Lower(models.Value(address)) for address in addresses]
        return self.alias(folded=Lower("address")).filter(folded__in=folded)

    def with_address_beginning(self, start: str) -> RecipientQuerySet:
        """Limit to the recipients whose address begins with this text."""
        return self.alias(folded=Lower("address")).filter(folded__startswith=start.lower())

    def stopped(self) -> RecipientQuerySet:
        """Limit to open recipients that wait for no attempt: held and uncertain ones."""
        return self.filter(next_attempt_at=None, final_at=None)


class Recipient(models.Model):
    """One envelope recipient. Only `transitions` changes its state.

    `state` is in no index and in no index's condition, so that a claim, which changes it, writes no
    index entry (docs/decisions/0008). Waiting recipients are found by `next_attempt_at` instead.
    """

    message = models.ForeignKey(
        Message, verbose_name=_("message"), on_delete=models.CASCADE, related_name="recipients"
    )
    role = models.CharField(_("role"), max_length=3, choices=Role, default=Role.TO)
    name = models.CharField(_("name"), max_length=255, blank=True)
    address = models.CharField(_("address"), max_length=320)
    # The two foreign keys below have no database constraint, which would lock a hot parent row at
    # every claim.
    destination = models.ForeignKey(
        Destination,
        verbose_name=_("destination"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    attempt = models.ForeignKey(
        Attempt,
        verbose_name=_("last attempt"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )  # the latest; while sending, the fencing token
    sender_key = models.BigIntegerField(default=0)  # for fair claims: the owner's id, 0 for none
    priority = models.PositiveSmallIntegerField(_("priority"), default=3)

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    # Set in queued, deferred and sending only.
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True)
    # Uncertain: when the policy resends the message.
    resend_at = models.DateTimeField(_("resent at"), null=True)
    expires_at = models.DateTimeField(_("expires at"), null=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    # Attempts before the last retry by a person. Later ones count towards the limit.
    attempts_at_retry = models.PositiveIntegerField(default=0, db_default=0)
    first_attempt_at = models.DateTimeField(_("first attempt at"), null=True)
    last_attempt_at = models.DateTimeField(_("last attempt at"), null=True)
    # When the state became final.
    final_at = models.DateTimeField(_("final state since"), null=True)
    ended_as = models.CharField(max_length=10, null=True)  # noqa: DJ001  # NULL, or one of ENDS, for searches

    reply_code = models.PositiveSmallIntegerField(null=True)
    reply_enhanced = models.CharField(max_length=12, blank=True)
    reply_text = models.TextField(blank=True)
    # MAIL, RCPT, DATA or DOT.
    reply_command = models.CharField(_("command of the reply"), max_length=8, blank=True)
    reply_key = models.BigIntegerField(null=True, editable=False)  # reply group, if negative
    remote_host = models.CharField(_("remote server"), max_length=255, blank=True)
    remote_queue_id = models.CharField(_("remote queue id"), max_length=100, blank=True)
    reason = ReasonField()  # why it is in this state

    objects = RecipientQuerySet.as_manager()

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["id"]
        indexes = [
            # Claim: the due recipients of a destination by priority and sender.
            models.Index(
                fields=["destination", "priority", "sender_key", "next_attempt_at", "id"],
                name="outbox_recipient_claim",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Worker: which destinations have due recipients, and when.
            models.Index(
                fields=["destination", "next_attempt_at"],
                name="outbox_recipient_poll",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Sweep: recipients whose lifetime ended.
            models.Index(
                fields=["expires_at"],
                name="outbox_recipient_expire",
                condition=models.Q(next_attempt_at__isnull=False),
            ),
            # Sweep: uncertain recipients to which the policy sends again.
            models.Index(
                fields=["resend_at"],
                name="outbox_recipient_resend",
                condition=models.Q(resend_at__isnull=False),
            ),
            # Search by reply code: the negative replies to one sender's messages.
            models.Index(
                fields=["sender_key", "reply_code", "reply_enhanced", "-message"],
                name="outbox_recipient_refusal",
                condition=models.Q(reply_code__gte=REFUSALS_FROM),
            ),
            # The recipients of one reply group, newest first, over all owners.
            models.Index(
                fields=["reply_key", "-id"],
                name="outbox_recipient_group",
                condition=models.Q(reply_key__isnull=False),
            ),
            # Search by a state that no message status has, among one sender's messages.
            models.Index(
                fields=["sender_key", "ended_as", "-message"],
                name="outbox_recipient_end",
                condition=models.Q(ended_as__isnull=False),
            ),
            # Status: recipients that a person or the uncertain policy has to release.
            models.Index(
                fields=["id"],
                name="outbox_recipient_stopped",
                condition=models.Q(next_attempt_at=None, final_at=None),
            ),
            # The admin's filter by reply code, over all senders.
            models.Index(
                fields=["reply_code", "reply_enhanced", "-message"],
                name="outbox_recipient_reply",
                condition=models.Q(reply_code__gte=REFUSALS_FROM),
            ),
            # The admin's filter by a state that no message status has.
            models.Index(
                fields=["ended_as", "-message"],
                name="outbox_recipient_ended",
                condition=models.Q(ended_as__isnull=False),
            ),
            # The admin's search by the queue id with which a server accepted the message.
            models.Index(
                fields=["remote_queue_id"],
                name="outbox_recipient_queue_id",
                condition=~models.Q(remote_queue_id=""),
            ),
            # Search by recipient: the whole address or its beginning, in any case.
            FoldedIndex("address", name="outbox_recipient_folded"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def wire_message_id(self) -> str:
        """The Message-ID that the server gave the message; empty if it kept it."""
        return wire_message_id(self.remote_host, self.remote_queue_id)

    @property
    def next_at(self) -> dt.datetime | None:
        """The time of the next attempt, or of the resend by the uncertain policy."""
        return self.next_attempt_at or self.resend_at


def is_being_sent() -> models.Exists:
    """Return the condition on messages that a worker has claimed one of their recipients."""
    sending = Recipient.objects.filter(message=models.OuterRef("pk"), state=State.SENDING)
    return models.Exists(sending)
