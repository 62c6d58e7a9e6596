"""Mailbox: the fetching half of an account, and what is known of the messages on its server."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from outbox.db.fields import DatabaseTimeField
from outbox.models import secrets
from outbox.models.account import Account, Security
from outbox.models.reasons import ReasonField
from outbox.reasons import ReasonCode

MAX_UID = 255  # characters; POP3 allows 70, and a key for a server without UIDL has 64


class MailProtocol(models.TextChoices):
    POP3 = "pop3", _("POP3")
    IMAP = "imap", _("IMAP")


class OnServer(models.TextChoices):
    """What happens on the server to a message that was fetched."""

    KEEP = "keep", _("Leave on the server")
    KEEP_DAYS = "days", _("Leave on the server for some days")
    DELETE = "delete", _("Delete from the server")


class Mailbox(models.Model):
    """Where the messages of an account are fetched, and when.

    Its password belongs to the server and the user name that it was entered for. An empty user
    name and an empty password mean those of the account.
    """

    account = models.OneToOneField(
        Account,
        verbose_name=_("account"),
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="mailbox",
    )
    protocol = models.CharField(
        _("protocol"), max_length=4, choices=MailProtocol, default=MailProtocol.POP3
    )
    host = models.CharField(_("server"), max_length=255)
    port = models.PositiveIntegerField(
        _("port"), default=995, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = models.CharField(_("security"), max_length=8, choices=Security, default=Security.TLS)
    username = models.CharField(_("username"), max_length=255, blank=True)
    secret_encrypted = models.TextField(blank=True, editable=False)

    on_server = models.CharField(
        _("on the server"), max_length=6, choices=OnServer, default=OnServer.KEEP
    )
    keep_days = models.PositiveIntegerField(
        _("days on the server"), default=30, validators=[MaxValueValidator(36_500)]
    )
    every_minutes = models.PositiveIntegerField(
        _("minutes between two fetches"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(10_080)],
    )
    files_sent = models.BooleanField(
        _("store sent messages in the mailbox"),
        default=False,
        help_text=_("IMAP only. The copy appears in the folder of sent messages."),
    )
    # Messages are looked at that were queued since then, minus `outbox.inbound.filing.OVERLAP`.
    files_from = models.DateTimeField(null=True, editable=False)
    is_active = models.BooleanField(_("fetch messages"), default=True)
    created_at = DatabaseTimeField(auto_now_add=True)

    # Written by the fetcher.
    # None: not before a change.
    next_fetch_at = models.DateTimeField(_("next fetch"), null=True, editable=False)
    fetched_at = models.DateTimeField(_("last fetch"), null=True, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    # Logins that were rejected without a reason since the last one that succeeded.
    unclear_logins = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    reason = ReasonField()  # why the last fetch failed
    notified_at = models.DateTimeField(null=True, editable=False)  # when the owner got an email
    lease_until = models.DateTimeField(null=True, editable=False)
    lease_key = models.CharField(max_length=32, blank=True, default="", editable=False)
    # The hash of the place that the known ids are from; "" before the first fetch.
    ids_of = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)

    # The size of all received messages of the owner up to one, as `outbox.inbound.room` read it.
    inbox_sum: Any = models.JSONField(null=True, editable=False)

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        indexes = [
            # The periodic run: the mailboxes that are due.
            models.Index(
                fields=["next_fetch_at"],
                name="outbox_mailbox_due",
                condition=models.Q(is_active=True, next_fetch_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.account)

    def clean(self) -> None:
        """Check that the protocol can store messages. Raise ValidationError."""
        if self.files_sent and self.protocol != MailProtocol.IMAP:
            raise ValidationError({"files_sent": _("Choose IMAP to store sent messages.")})

    @property
    def files_copies(self) -> bool:
        """Whether copies of sent messages are stored in the mailbox."""
        return self.files_sent and self.is_active and self.protocol == MailProtocol.IMAP

    @property
    def lacks_room(self) -> bool:
        """Whether new messages wait on the server until the owner deletes received ones."""
        return self.reason.code == ReasonCode.INBOX_FULL

    @property
    def secret(self) -> str:
        """The decrypted password of its own. Raises SecretUnreadableError."""
        return secrets.decrypt(self.secret_encrypted, self.encrypted_for)

    @secret.setter
    def secret(self, plain: str) -> None:
        self.secret_encrypted = secrets.encrypt(plain, self.encrypted_for)

    @property
    def encrypted_for(self) -> str:
        """What the password is encrypted for: it cannot be decrypted for another server."""
        server = (self.protocol, self.host, self.port, self.security, self.username)
        return json.dumps(["outbox.mailbox", *map(str, server)])


@receiver(pre_delete, sender=Mailbox)
def _lock_before_deletion(instance: Mailbox, using: str, **_options: Any) -> None:
    """Lock a mailbox before its ids are deleted, also together with its account or owner.

    A commit of a fetch waits for the row, and then finds that it is gone. Otherwise it would add
    an id after the others were deleted.
    """
    Mailbox.objects.using(using).select_for_update().filter(pk=instance.pk).first()


class ServerMessage(models.Model):
    """A message on the server of a mailbox, by its unique id there.

    The row outlives the deletion of the stored message, so that it is not fetched again.
    """

    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, related_name="server_messages", db_index=False
    )  # the unique constraint's index starts with it
    uid = models.CharField(max_length=MAX_UID)
    message = models.ForeignKey(
        "outbox.InboundMessage", null=True, on_delete=models.SET_NULL, related_name="on_server"
    )
    size = models.PositiveBigIntegerField(default=0)  # as the server says
    # Of the content. A server may use the id of a deleted message again, for another one.
    sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    # How often the message was listed again after it had been deleted.
    returned = models.PositiveIntegerField(default=0, db_default=0)
    skipped = ReasonField()  # why it was not fetched
    seen_at = models.DateTimeField()  # first listed
    deleted_at = models.DateTimeField(null=True)  # from the server, by a QUIT that succeeded

    class Meta:
        verbose_name = _("message on the server")
        verbose_name_plural = _("messages on the server")
        constraints = [
            # Two fetches of one message store it once.
            models.UniqueConstraint(fields=["mailbox", "uid"], name="outbox_servermessage_once")
        ]
        indexes = [
            # The page of a mailbox: the messages that were not fetched, and why.
            models.Index(
                fields=["mailbox"],
                name="outbox_servermessage_skipped",
                condition=~models.Q(skipped=""),
            )
        ]

    def __str__(self) -> str:
        return self.uid
