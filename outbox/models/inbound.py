"""InboundMessage: a message that was fetched, what it says about others, and its bytes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.conf import get_conf
from outbox.db.fields import DatabaseTimeField
from outbox.db.packing import pack
from outbox.mail.transfer_encodings import MAX_LINE
from outbox.models.access import can_view_others, of_visible_accounts
from outbox.models.account import Account
from outbox.models.files import read_stored, write_file
from outbox.models.message import Message, file_storage
from outbox.models.recipient import Recipient

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


class InboundKind(models.TextChoices):
    """The values are those of outbox.inbound.MessageKind."""

    MESSAGE = "message", pgettext_lazy("kind of message", "message")
    BOUNCE = "bounce", _("bounce")
    DELAY = "delay", _("delay notice")
    AUTO_REPLY = "auto-reply", _("automatic reply")
    COMPLAINT = "complaint", _("spam complaint")
    RECEIPT = "receipt", _("receipt")


class InboundFolder(models.TextChoices):
    INBOX = "inbox", _("Inbox")
    ARCHIVE = "archive", _("Archive")
    TRASH = "trash", _("Trash")


class MatchRule(models.TextChoices):
    """How a message or a report was matched to what it is about, the most certain rule first."""

    RETURN_PATH = "return_path", _("signed return path")
    QUEUE_ID = "queue_id", _("queue id of the remote server")
    WIRE_ID = "wire_id", _("Message-ID that the server assigned")
    MESSAGE_ID = "message_id", _("Message-ID")
    ENVELOPE_ID = "envelope_id", _("envelope id")
    ADDRESS = "address", _("address and time")
    SIGNAL = "signal", _("notification of the provider")
    PERSON = "person", _("chosen by a user")


# The time of reception under the name by which all lists are paged.
LISTED_AT = {"listed_at": models.F("received_at")}


class InboundMessageQuerySet(models.QuerySet["InboundMessage"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> InboundMessageQuerySet:
        """Limit to the user's own messages."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def viewable_by(self, user: AbstractBaseUser | AnonymousUser) -> InboundMessageQuerySet:
        """Limit to the user's own messages; with permission, staff see those of their accounts."""
        if not can_view_others(user):
            return self.visible_to(user)
        seen = of_visible_accounts(user)
        # An empty condition means every account; Django leaves it out of a disjunction.
        return self.filter(seen | models.Q(owner=user.pk)) if seen else self.all()

    def listed(self) -> InboundMessageQuerySet:
        """Add `listed_at`."""
        return self.annotate(**LISTED_AT)


class InboundMessage(models.Model):
    """One message that was fetched. Its bytes are in InboundSource."""

    # The account's owner when it was fetched. A message without one belongs to the site.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("Owner"), null=True, related_name="+",
        db_index=False, on_delete=models.SET_NULL,
    )  # fmt: skip  # the list's index starts with it
    account = models.ForeignKey(
        Account,
        verbose_name=_("Account"),
        null=True,
        related_name="inbound_messages",
        on_delete=models.SET_NULL,
    )
    kind = models.CharField(max_length=10, choices=InboundKind, default=InboundKind.MESSAGE)
    # The property that decided the kind.
    kind_sign = models.CharField(_("Sign of the kind"), max_length=200, blank=True)
    folder = models.CharField(
        _("Folder"), max_length=7, choices=InboundFolder, default=InboundFolder.INBOX
    )
    is_read = models.BooleanField(pgettext_lazy("a message", "Read"), default=False)

    from_header = models.TextField(blank=True)
    from_address = models.CharField(max_length=320, blank=True)  # folded, for comparison
    to_summary = models.CharField(_("Recipients"), max_length=200, blank=True)
    subject = models.TextField(blank=True)
    snippet = models.CharField(max_length=160, blank=True)
    # Without brackets.
    message_id = models.CharField(_("Message-ID"), max_length=MAX_LINE, blank=True)
    in_reply_to = models.CharField(_("In reply to"), max_length=MAX_LINE, blank=True)
    # The hash of the first Message-ID of the thread (`outbox.mail.threads`).
    thread = models.CharField(max_length=32, blank=True)
    sent_at = models.DateTimeField(_("Date"), null=True)  # as far as it can be read
    # When the server received it, as its Received field says, else when it was stored: the sort key
    # of lists. The newest messages are stored first.
    received_at = models.DateTimeField(pgettext_lazy("a time", "received"))
    size = models.PositiveIntegerField(_("Size"), default=0)
    attachment_count = models.PositiveIntegerField(default=0)

    # The message of this site that it replies to or reports on.
    replies_to = models.ForeignKey(
        Message,
        null=True,
        on_delete=models.SET_NULL,
        related_name="received_replies",
        db_index=False,
    )
    matched_by = models.CharField(_("Matched by"), max_length=12, choices=MatchRule, blank=True)
    created_at = DatabaseTimeField(auto_now_add=True)

    objects = InboundMessageQuerySet.as_manager()

    if TYPE_CHECKING:
        listed_at: dt.datetime  # of `InboundMessageQuerySet.listed`

    class Meta:
        verbose_name = _("received message")
        verbose_name_plural = _("received messages")
        indexes = [
            # Each list page of one user, newest first, by folder.
            models.Index(
                fields=["owner", "folder", "-received_at", "-id"], name="outbox_inbound_list"
            ),
            # The badge and the list of unread messages.
            models.Index(
                fields=["owner", "folder", "-received_at", "-id"],
                name="outbox_inbound_unread",
                condition=models.Q(is_read=False),
            ),
            # The conversation that a message belongs to.
            models.Index(fields=["owner", "thread"], name="outbox_inbound_thread"),
            # A message that was received twice, and replies to it.
            models.Index(fields=["message_id"], name="outbox_inbound_msgid"),
            # The page of a sent message: the replies to it and the reports on it.
            models.Index(
                fields=["replies_to"],
                name="outbox_inbound_replies_to",
                condition=models.Q(replies_to__isnull=False),
            ),
            # The admin's list over all owners, newest first.
            models.Index(fields=["-received_at", "-id"], name="outbox_inbound_newest"),
        ]

    def __str__(self) -> str:
        return self.subject or str(_("(no subject)"))


class InboundSource(models.Model):
    """The bytes as they were received. Large ones are stored as files."""

    message = models.OneToOneField(
        InboundMessage, on_delete=models.CASCADE, primary_key=True, related_name="source"
    )
    data = models.BinaryField(null=True)  # as `packing` stores it
    file = models.FileField(storage=file_storage, upload_to="received/%Y/%m/%d", blank=True)
    sha256 = models.CharField(max_length=64)
    is_redacted = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = _("source of a received message")
        verbose_name_plural = _("sources of received messages")

    def __str__(self) -> str:
        return f"source of received message {self.pk}"

    def read(self) -> bytes:
        """Return the bytes. Raises OSError if the stored file is missing."""
        return read_stored(self.data, self.file)

    @classmethod
    def of(cls, message_id: int, source: bytes, sha256: str) -> InboundSource:
        """Return the unsaved row. A large source is written to the storage at once.

        Raise StorageWriteError.
        """
        row = cls(message_id=message_id, sha256=sha256)
        if len(source) <= get_conf().inline_source_bytes:
            row.data = pack(source)
        else:
            write_file(row.file, message_id, sha256, source, ".eml")
        return row


class InboundReport(models.Model):
    """What a bounce or a similar message says about one recipient."""

    message = models.ForeignKey(
        InboundMessage, null=True, on_delete=models.SET_NULL, related_name="reports"
    )  # None: a notification of a provider, or the message was deleted
    recipient = models.ForeignKey(
        Recipient, null=True, on_delete=models.CASCADE, related_name="reports"
    )  # None: no rule matched it
    matched_by = models.CharField(max_length=12, choices=MatchRule, blank=True)
    kind = models.CharField(max_length=10, choices=InboundKind)
    address = models.CharField(max_length=320, blank=True)  # as the report says
    action = models.CharField(max_length=40, blank=True)
    status = models.CharField(max_length=12, blank=True)  # enhanced status code
    effect = models.CharField(max_length=14, blank=True)  # outbox.mail.server_replies.Effect
    text = models.TextField(blank=True)  # of the remote server or of the report
    rule = models.CharField(max_length=60, blank=True)  # id of the rule that decided the effect
    provider = models.CharField(max_length=40, blank=True)  # who notified, if there is no message
    at = models.DateTimeField()
    is_applied = models.BooleanField(default=False)  # the recipient's state has followed
    # The recipient is being sent to: the report waits for the outcome.
    is_pending = models.BooleanField(default=False, db_default=False)
    # The attempt that it is about, 0 for an earlier one; None: only the time can show it. Without a
    # constraint: the report outlives the attempt.
    attempt_key = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("received report")
        verbose_name_plural = _("received reports")
        ordering = ["id"]
        indexes = [
            # Sweep: reports that wait for the outcome of an attempt.
            models.Index(
                fields=["id"],
                name="outbox_report_pending",
                condition=models.Q(is_pending=True),
            ),
            # The page of operators: texts that no rule explains, newest first.
            models.Index(
                fields=["-at"],
                name="outbox_report_unexplained",
                condition=models.Q(kind="bounce", rule=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} about {self.address}"
