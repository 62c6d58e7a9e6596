"""Message: its status, and the rows that belong to one message alone."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.conf import get_conf
from outbox.db.fields import DatabaseTimeField
from outbox.db.packing import pack
from outbox.mail.content_type import MAX_CONTENT_TYPE
from outbox.mail.transfer_encodings import MAX_LINE
from outbox.models.access import (
    READ_SOURCE,
    can_change_others,
    can_view_others,
    of_visible_accounts,
)
from outbox.models.account import Account
from outbox.models.files import read_stored, write_file
from outbox.models.states import NOT_SENT, RARE, Folder, State, Status, shown_status
from outbox.reasons import NO_REASON, Reason, ReasonCode

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


def file_storage() -> Storage:
    """Return the storage that holds large sources and attachments."""
    return storages[get_conf().storage]


UNDO_MAX = dt.timedelta(minutes=2)  # a message that is sent later than this is scheduled


class Origin(models.TextChoices):
    COMPOSE = "compose", _("composed on this site")
    BACKEND = "backend", _("sent by an app through Django's email API")
    API = "api", _("queued by an app")
    REPORT = "report", _("a report on failed messages")


WAITING_FOLDERS = (Folder.OUTBOX, Folder.SCHEDULED)  # of messages with open recipients


class Importance(models.TextChoices):
    """What the recipient's program displays (the header fields Importance and X-Priority)."""

    HIGH = "high", pgettext_lazy("importance", "High")
    NORMAL = "normal", pgettext_lazy("importance", "Normal")
    LOW = "low", pgettext_lazy("importance", "Low")


class TlsRequirement(models.TextChoices):
    """What the sender of a message says about TLS (RFC 8689)."""

    REQUIRED = "required", _("required")  # REQUIRETLS: verified, and so on from there
    OPTIONAL = "optional", _("optional")  # TLS-Required: No, whatever the recipient's domain says


class DraftKind(models.TextChoices):
    """How a draft was made from another message."""

    # to the people of the original, in the same thread
    REPLY = "reply", pgettext_lazy("made from a message", "reply")
    # without recipients, with the files of the original
    FORWARD = "forward", pgettext_lazy("made from a message", "forward")
    # the same message, to be edited
    COPY = "copy", pgettext_lazy("made from a message", "copy")
    # a copy to the failed recipients only
    RESEND = "resend", pgettext_lazy("made from a message", "copy for failed recipients")


COPIES = (DraftKind.COPY, DraftKind.RESEND)  # the same message again, for the same people


class MessageQuerySet(models.QuerySet["Message"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the user's own messages."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def viewable_by(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the user's own messages; with permission, staff see those of their accounts."""
        return self._queued_or_own(user) if can_view_others(user) else self.visible_to(user)

    def changeable_by(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the messages whose delivery the user may act on."""
        return self._queued_or_own(user) if can_change_others(user) else self.visible_to(user)

    def _queued_or_own(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        # Drafts are visible to their owners only.
        queued = ~models.Q(status=Status.DRAFT) & of_visible_accounts(user)
        return self.filter(queued | models.Q(owner=user.pk))

    def of_apps(self) -> MessageQuerySet:
        """Limit to queued messages without an owner, which apps sent."""
        return self.filter(owner=None).exclude(folder=Folder.DRAFTS)

    def in_folder(self, folder: str) -> MessageQuerySet:
        """Limit to a folder. Failed contains every message with a failed recipient, open or not."""
        if folder == Folder.FAILED:
            return self.filter(has_failure=True)
        return self.filter(folder=folder)

    def related_to(self, thing: models.Model) -> MessageQuerySet:
        """Limit to the messages that were queued about this object."""
        kind = ContentType.objects.db_manager(self.db).get_for_model(thing)
        return self.filter(related_type=kind, related_id=str(thing.pk))


class Message(models.Model):
    """One message. Its bytes are in Source, the state of its delivery in its recipients."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("Owner"), null=True, blank=True, related_name="+",
        db_index=False, on_delete=models.SET_NULL,
    )  # fmt: skip  # the list's index starts with it
    account = models.ForeignKey(
        Account, verbose_name=_("Account"), null=True, blank=True, related_name="messages",
        db_index=False, on_delete=models.SET_NULL,
    )  # fmt: skip  # only deleting an account queries it, which may scan the table
    origin = models.CharField(_("Origin"), max_length=8, choices=Origin, default=Origin.COMPOSE)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    folder = models.CharField(max_length=10, choices=Folder, default=Folder.DRAFTS)

    # Written with the status. Only messages with a failure are in the indexes.
    has_failure = models.BooleanField(default=False, db_default=False)  # of any recipient
    failed_count = models.PositiveIntegerField(default=0, db_default=0)  # recipients
    failure_unseen = models.BooleanField(default=False, db_default=False)  # by the owner
    failure_unreported = models.BooleanField(default=False, db_default=False)  # by email

    subject = models.TextField(_("Subject"), blank=True)
    from_header = models.TextField(_("From"), blank=True)
    # Empty: the null sender.
    envelope_sender = models.CharField(_("Envelope sender"), max_length=320, blank=True)
    # The caller gave it, so that the account's return path does not replace it.
    is_sender_given = models.BooleanField(default=False, db_default=False)
    to_summary = models.CharField(max_length=200, blank=True)  # first visible recipients, for lists
    snippet = models.CharField(max_length=160, blank=True)
    # The header, without brackets; at most the bytes of one line, so that an index can hold it.
    message_id = models.CharField(_("Message-ID"), max_length=MAX_LINE, blank=True)
    in_reply_to = models.CharField(max_length=MAX_LINE, blank=True)
    made_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="made_into",
        db_index=False,
    )  # fmt: skip  # what a reply, a forward or a copy was made from
    made_from_received = models.ForeignKey(
        "outbox.InboundMessage", null=True, blank=True, on_delete=models.SET_NULL,
        related_name="made_into", db_index=False,
    )  # fmt: skip  # what it was made from, if that was received
    importance = models.CharField(
        _("Importance"), max_length=6, choices=Importance, default=Importance.NORMAL
    )
    tags = models.JSONField(_("Tags"), default=list, blank=True)
    metadata = models.JSONField(_("Metadata"), default=dict, blank=True)
    related_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        db_index=False,
    )  # fmt: skip
    related_id = models.CharField(max_length=255, blank=True, db_default="")  # its key, as text
    related = GenericForeignKey("related_type", "related_id")  # what the message is about
    # NULL: keys are unique, and most messages have none.
    idempotency_key = models.CharField(  # noqa: DJ001
        _("Idempotency key"), max_length=255, null=True, blank=True, default=None
    )

    # Bytes on the wire, before dot-stuffing.
    size = models.PositiveIntegerField(_("Size"), default=0)
    recipient_count = models.PositiveIntegerField(_("Recipients"), default=0)
    attachment_count = models.PositiveIntegerField(default=0)
    needs_8bit = models.BooleanField(default=False)
    needs_smtputf8 = models.BooleanField(default=False)
    on_uncertain = models.CharField(max_length=8, blank=True)  # empty: the account's policy
    wants_report = models.BooleanField(default=False, db_default=False)  # of delivery (RFC 3461)
    tls_requirement = models.CharField(
        max_length=8, blank=True, choices=TlsRequirement, default="", db_default=""
    )  # empty: as the domain of the recipient says
    # No page shows the content, and it is erased when delivery ends (`outbox.models.erasure`).
    is_sensitive = models.BooleanField(_("Sensitive"), default=False, db_default=False)

    created_at = DatabaseTimeField(pgettext_lazy("a time", "created"), auto_now_add=True)
    # The sort key of lists: when a draft was last saved, then when it was queued.
    listed_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    queued_at = models.DateTimeField(pgettext_lazy("a time", "queued"), null=True, blank=True)
    send_at = models.DateTimeField(_("Send at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("Expires"), null=True, blank=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = pgettext_lazy("a list", "messages")
        permissions = [(READ_SOURCE, "Can read the content of other people's messages")]
        indexes = [
            # Each list page of one user, newest first, and of app messages, by folder.
            models.Index(
                fields=["owner", "folder", "-listed_at", "-id"], name="outbox_message_list"
            ),
            # Sweep: the users with composed messages that wait. Messages of apps are not in it.
            models.Index(
                fields=["account", "owner"],
                name="outbox_message_composed",
                condition=models.Q(
                    origin="compose", folder__in=[folder.value for folder in WAITING_FOLDERS]
                ),
            ),
            # Search by a status that is rare in its folder.
            models.Index(
                fields=["owner", "status", "-listed_at", "-id"],
                name="outbox_message_rare",
                condition=models.Q(status__in=[status.value for status in RARE]),
            ),
            # The admin's list over all owners, newest first, and its filter by date.
            models.Index(fields=["-listed_at", "-id"], name="outbox_message_newest"),
            # The admin's list by status. Most messages of a site are sent, so these are not in it.
            models.Index(
                fields=["status", "-listed_at", "-id"],
                name="outbox_message_status",
                condition=models.Q(status__in=[status.value for status in NOT_SENT]),
            ),
            # The list of failures of one user, newest first; open messages are among them.
            models.Index(
                fields=["owner", "-listed_at", "-id"],
                name="outbox_message_failed",
                condition=models.Q(has_failure=True),
            ),
            # The admin's list of failures, over all owners.
            models.Index(
                fields=["-listed_at", "-id"],
                name="outbox_message_failures",
                condition=models.Q(has_failure=True),
            ),
            # The badge: failures that the owner has not seen.
            models.Index(
                fields=["owner", "-id"],
                name="outbox_message_unseen",
                condition=models.Q(failure_unseen=True),
            ),
            # Sweep: failures that no digest has collected.
            models.Index(
                fields=["id"],
                name="outbox_message_unreported",
                condition=models.Q(failure_unreported=True),
            ),
            # A bounce or reply is matched by the id it quotes.
            models.Index(fields=["message_id"], name="outbox_message_msgid"),
            # The message page: what was made from it. Most messages are made from none.
            models.Index(
                fields=["made_from"],
                name="outbox_message_made_from",
                condition=models.Q(made_from__isnull=False),
            ),
            # The page of a received message: what was made from it.
            models.Index(
                fields=["made_from_received"],
                name="outbox_message_made_received",
                condition=models.Q(made_from_received__isnull=False),
            ),
            # The messages about one object of another app. Most are about none.
            models.Index(
                fields=["related_type", "related_id"],
                name="outbox_message_related",
                condition=models.Q(related_type__isnull=False),
            ),
        ]
        constraints = [
            # A request that is queued twice must find the first message, also under a race.
            models.UniqueConstraint(
                fields=["idempotency_key"],
                name="outbox_message_idempotent",
                condition=models.Q(idempotency_key__isnull=False),
            )
        ]

    def __str__(self) -> str:
        if self.subject:
            return self.subject
        return str(_("(sensitive message)") if self.is_sensitive else _("(no subject)"))

    @property
    def present_status(self) -> Status:
        """The status to display, of a message that was read with `is_sending=is_being_sent()`."""
        is_sending = getattr(self, "is_sending", False)
        return shown_status(self.status, {State.SENDING} if is_sending else ())

    @property
    def is_draft(self) -> bool:
        """Whether the message can still be edited."""
        return self.status == Status.DRAFT

    @property
    def is_erased(self) -> bool:
        """Whether the message is sensitive and its content was erased."""
        if not self.is_sensitive:
            return False
        return not Source.objects.using(self._state.db).filter(pk=self.pk).exists()

    @property
    def content_loss(self) -> Reason:
        """Why the content is not there any more as it was sent; NO_REASON if it is."""
        if self.is_draft:
            return NO_REASON
        sources = Source.objects.using(self._state.db).filter(pk=self.pk)
        is_redacted = sources.values_list("is_redacted", flat=True).first()
        if is_redacted is None:
            if self.is_sensitive:
                return Reason(ReasonCode.CONTENT_ERASED)
            if Draft.objects.using(self._state.db).filter(pk=self.pk).exists():
                return NO_REASON  # only the row of the source is missing
            return Reason(ReasonCode.CONTENT_REMOVED)
        return Reason(ReasonCode.CONTENT_REDACTED) if is_redacted else NO_REASON

    @property
    def waits_for_undo(self) -> bool:
        """Whether the message waits only so that sending can be undone."""
        return bool(
            self.status == Status.SCHEDULED
            and self.origin == Origin.COMPOSE
            and self.send_at
            and self.queued_at
            and self.send_at - self.queued_at <= UNDO_MAX
        )


class Source(models.Model):
    """The rendered bytes, altered only to erase an address. Large ones are stored as files."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="source"
    )
    data = models.BinaryField(null=True)  # as `packing` stores it
    file = models.FileField(storage=file_storage, upload_to="sources/%Y/%m/%d", blank=True)
    sha256 = models.CharField(max_length=64)
    # Of a sensitive message only: when the sweep looks whether the bytes can be erased.
    erase_at = models.DateTimeField(null=True)
    # A person's address was taken out, so that the bytes are not those that were sent.
    is_redacted = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = _("source of a message")
        verbose_name_plural = _("sources of messages")
        indexes = [
            # Sweep: sensitive content whose lifetime ended.
            models.Index(
                fields=["erase_at"],
                name="outbox_source_erase",
                condition=models.Q(erase_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"source of message {self.pk}"

    def read(self) -> bytes:
        """Return the bytes. Raises OSError if the stored file is missing."""
        return read_stored(self.data, self.file)

    @classmethod
    def of(
        cls, message_id: int, source: bytes, sha256: str, *, erase_at: dt.datetime | None = None
    ) -> Source:
        """Return the unsaved row. A large source is written to the storage at once.

        Raise StorageWriteError.
        """
        row = cls(message_id=message_id, sha256=sha256, erase_at=erase_at)
        if len(source) <= get_conf().inline_source_bytes:
            row.data = pack(source)
        else:
            write_file(row.file, message_id, sha256, source, ".eml")
        return row


class Draft(models.Model):
    """What the author typed, unaltered. It is kept after the message is queued."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="draft"
    )
    to = models.TextField(blank=True)
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    reply_to = models.TextField(blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    references = models.TextField(blank=True)  # of a reply: the ids of the thread, oldest first
    made_as = models.CharField(max_length=7, choices=DraftKind, blank=True)  # of its `made_from`
    version = models.PositiveIntegerField(default=1)  # saves; of two tabs, one gets a conflict
    saved_from = models.CharField(max_length=22, blank=True)  # the page that saved it last
    updated_at = DatabaseTimeField(auto_now=True)

    class Meta:
        verbose_name = _("draft")
        verbose_name_plural = _("drafts")

    def __str__(self) -> str:
        return f"draft of message {self.pk}"


class Attachment(models.Model):
    """A file of a draft, stored under a generated name, never the user's."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=MAX_CONTENT_TYPE, default="application/octet-stream")
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content_id = models.CharField(max_length=255, blank=True)  # set: displayed inside the HTML
    file = models.FileField(storage=file_storage, upload_to="attachments/%Y/%m/%d")

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        """Return the bytes. Raises OSError if the stored file is missing."""
        with self.file.open("rb") as stored:
            return bytes(stored.read())

    @classmethod
    def of(cls, message: Message, name: str, content_type: str, data: bytes) -> Attachment:
        """Write the file and return the unsaved row. Raise StorageWriteError."""
        digest = hashlib.sha256(data).hexdigest()
        row = cls(
            message=message, name=name, content_type=content_type, size=len(data), sha256=digest
        )
        write_file(row.file, message.pk, digest, data)
        return row
