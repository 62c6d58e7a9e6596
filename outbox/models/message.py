"""Message: one mail, its roll-up status, and the rows that belong to it alone."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from outbox.conf import get_conf
from outbox.mail.content_type import MAX_CONTENT_TYPE
from outbox.mail.encodings import MAX_LINE
from outbox.models.access import READ_SOURCE, can_change_others, can_view_others
from outbox.models.account import Account
from outbox.models.packing import pack, unpack
from outbox.models.states import RARE, Folder, State, Status, shown_status

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser


def file_storage() -> Storage:
    """Return the storage that holds large sources and attachments."""
    return storages[get_conf().storage]


UNDO_MAX = dt.timedelta(minutes=2)  # what leaves later than that was scheduled


class Origin(models.TextChoices):
    COMPOSE = "compose", _("composed here")
    BACKEND = "backend", _("sent by an app through Django's mail API")
    API = "api", _("queued by an app")
    REPORT = "report", _("a report on failed messages")


class Answer(models.TextChoices):
    """How a draft was made out of another mail."""

    # to whom it went, in the same thread
    REPLY = "reply", pgettext_lazy("made from a mail", "reply")
    # to nobody yet, with its files
    FORWARD = "forward", pgettext_lazy("made from a mail", "forward")
    # the same again, to be edited
    COPY = "copy", pgettext_lazy("made from a mail", "copy")
    # a copy to those only who did not get it
    RESEND = "resend", pgettext_lazy("made from a mail", "copy for whom it failed")


COPIES = (Answer.COPY, Answer.RESEND)  # the same mail once more, for the same people


class MessageQuerySet(models.QuerySet["Message"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the user's own mail."""
        return self.filter(owner=user.pk) if user.is_authenticated else self.none()

    def viewable_by(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the user's own messages; staff with permission see all that were queued."""
        return self._queued_or_own(user) if can_view_others(user) else self.visible_to(user)

    def changeable_by(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        """Limit to the messages whose delivery the user may decide about."""
        return self._queued_or_own(user) if can_change_others(user) else self.visible_to(user)

    def _queued_or_own(self, user: AbstractBaseUser | AnonymousUser) -> MessageQuerySet:
        # What another person has not sent yet is theirs alone.
        return self.filter(~models.Q(status=Status.DRAFT) | models.Q(owner=user.pk))

    def of_apps(self) -> MessageQuerySet:
        """Limit to queued messages that have no owner: apps sent them."""
        return self.filter(owner=None).exclude(folder=Folder.DRAFTS)

    def in_folder(self, folder: str) -> MessageQuerySet:
        """Limit to a folder; Failed has every message with a failed recipient, open or not."""
        if folder == Folder.FAILED:
            return self.filter(has_failure=True)
        return self.filter(folder=folder)

    def related_to(self, thing: models.Model) -> MessageQuerySet:
        """Limit to the mail that was queued about this object."""
        kind = ContentType.objects.db_manager(self.db).get_for_model(thing)
        return self.filter(related_type=kind, related_id=str(thing.pk))


class Message(models.Model):
    """One mail. Its bytes are in Source, its fate is in its recipients."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, related_name="+", db_index=False,
        on_delete=models.SET_NULL,
    )  # fmt: skip  # the list's index begins with it
    account = models.ForeignKey(
        Account, null=True, blank=True, related_name="messages", db_index=False,
        on_delete=models.SET_NULL,
    )  # fmt: skip  # only deleting an account asks for it, which may read the table
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.COMPOSE)
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    folder = models.CharField(max_length=10, choices=Folder, default=Folder.DRAFTS)

    # Written with the status. Few messages have a failure, and only theirs are in the indexes.
    has_failure = models.BooleanField(default=False, db_default=False)  # of any recipient
    failed_count = models.PositiveIntegerField(default=0, db_default=0)  # recipients
    failure_unseen = models.BooleanField(default=False, db_default=False)  # by the owner
    failure_unreported = models.BooleanField(default=False, db_default=False)  # by email

    subject = models.TextField(blank=True)
    from_header = models.TextField(blank=True)
    envelope_sender = models.CharField(max_length=320, blank=True)  # empty: the null sender
    to_summary = models.CharField(max_length=200, blank=True)  # first visible recipients, for lists
    snippet = models.CharField(max_length=160, blank=True)
    # The header, without brackets; at most the bytes of one line, so that an index can hold it.
    message_id = models.CharField(max_length=MAX_LINE, blank=True)
    in_reply_to = models.CharField(max_length=MAX_LINE, blank=True)
    made_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="made_into",
        db_index=False,
    )  # fmt: skip  # what a reply, a forward or a copy was made from
    priority = models.PositiveSmallIntegerField(default=3)  # X-Priority: 1 highest … 5 lowest
    tags = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    related_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        db_index=False,
    )  # fmt: skip
    related_id = models.CharField(max_length=255, blank=True, db_default="")  # its key, as text
    related = GenericForeignKey("related_type", "related_id")  # what the mail is about
    idempotency_key = models.CharField(max_length=255, null=True, blank=True, default=None)  # noqa: DJ001  # NULL: many mails have none, and a key is unique

    size = models.PositiveIntegerField(default=0)  # bytes on the wire, before dot-stuffing
    recipient_count = models.PositiveIntegerField(default=0)
    attachment_count = models.PositiveIntegerField(default=0)
    needs_8bit = models.BooleanField(default=False)
    needs_smtputf8 = models.BooleanField(default=False)
    on_uncertain = models.CharField(max_length=8, blank=True)  # empty: the account's policy
    wants_report = models.BooleanField(default=False, db_default=False)  # of delivery (RFC 3461)

    created_at = models.DateTimeField(auto_now_add=True)
    # What lists are sorted by: when a draft was last saved, then when it was queued.
    listed_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    queued_at = models.DateTimeField(null=True, blank=True)
    send_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        permissions = [(READ_SOURCE, "Can read the content of other people's messages")]
        indexes = [
            # Each list page of one user, newest first; of apps, which have no owner, by folder.
            models.Index(
                fields=["owner", "folder", "-listed_at", "-id"], name="outbox_message_list"
            ),
            # Search by status, of those that share their folder with far more mail.
            models.Index(
                fields=["owner", "status", "-listed_at", "-id"],
                name="outbox_message_rare",
                condition=models.Q(status__in=[status.value for status in RARE]),
            ),
            # The admin's list by state, over all owners.
            models.Index(fields=["folder", "-id"], name="outbox_message_folder"),
            # The list of failures of one user, newest first; open messages are among them.
            models.Index(
                fields=["owner", "-listed_at", "-id"],
                name="outbox_message_failed",
                condition=models.Q(has_failure=True),
            ),
            # The admin's list of failures, over all owners.
            models.Index(
                fields=["-id"],
                name="outbox_message_failed_all",
                condition=models.Q(has_failure=True),
            ),
            # The badge: failures that their owner has not seen.
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
            # What was made from a mail, on its page; most mail is made from none.
            models.Index(
                fields=["made_from"],
                name="outbox_message_made_from",
                condition=models.Q(made_from__isnull=False),
            ),
            # The mail about one object of another app; most mail is about none.
            models.Index(
                fields=["related_type", "related_id"],
                name="outbox_message_related",
                condition=models.Q(related_type__isnull=False),
            ),
        ]
        constraints = [
            # The same request queued twice must find the first mail, also under a race.
            models.UniqueConstraint(
                fields=["idempotency_key"],
                name="outbox_message_idempotent",
                condition=models.Q(idempotency_key__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.subject or str(_("(no subject)"))

    @property
    def present_status(self) -> Status:
        """The status to show, of a message that was read with `is_sending=is_being_sent()`."""
        is_sending = getattr(self, "is_sending", False)
        return shown_status(self.status, {State.SENDING} if is_sending else ())

    @property
    def is_draft(self) -> bool:
        """Tell whether it can still be edited."""
        return self.status == Status.DRAFT

    @property
    def waits_for_undo(self) -> bool:
        """Tell whether it only waits so that its writer may take it back."""
        return bool(
            self.status == Status.SCHEDULED
            and self.origin == Origin.COMPOSE
            and self.send_at
            and self.queued_at
            and self.send_at - self.queued_at <= UNDO_MAX
        )


class Source(models.Model):
    """The rendered bytes, never altered: inline when small, else in storage."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="source"
    )
    data = models.BinaryField(null=True)  # as `packing` stores it
    file = models.FileField(storage=file_storage, upload_to="sources/%Y/%m/%d", blank=True)
    sha256 = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"source of message {self.pk}"

    def read(self) -> bytes:
        """Return the bytes. Raises OSError when the stored file is gone."""
        if self.data is not None:
            return unpack(bytes(self.data))
        with self.file.open("rb") as stored:
            return bytes(stored.read())

    @classmethod
    def of(cls, message_id: int, source: bytes, sha256: str) -> Source:
        """Build the unsaved row; a large source is written to storage at once."""
        row = cls(message_id=message_id, sha256=sha256)
        if len(source) <= get_conf().inline_source_bytes:
            row.data = pack(source)
        else:
            row.file.save(f"{message_id}-{sha256[:12]}.eml", ContentFile(source), save=False)
        return row


class Draft(models.Model):
    """What a person typed, kept as typed; after sending it tells what the source was made of."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="draft"
    )
    to = models.TextField(blank=True)
    cc = models.TextField(blank=True)
    bcc = models.TextField(blank=True)
    reply_to = models.TextField(blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    references = models.TextField(blank=True)  # of a reply: the ids it answers, oldest first
    made_as = models.CharField(max_length=7, choices=Answer, blank=True)  # of its `made_from`
    version = models.PositiveIntegerField(default=1)  # counts saves; two tabs cannot both win
    saved_from = models.CharField(max_length=22, blank=True)  # the page that saved it last
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"draft of message {self.pk}"


class Attachment(models.Model):
    """A file of a draft, kept in storage under a name of ours, never the user's."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=MAX_CONTENT_TYPE, default="application/octet-stream")
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content_id = models.CharField(max_length=255, blank=True)  # set: shown inside the HTML
    file = models.FileField(storage=file_storage, upload_to="attachments/%Y/%m/%d")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    def read(self) -> bytes:
        """Return the bytes. Raises OSError when the stored file is gone."""
        with self.file.open("rb") as stored:
            return bytes(stored.read())

    @classmethod
    def of(cls, message: Message, name: str, content_type: str, data: bytes) -> Attachment:
        """Build the unsaved row and write the file."""
        digest = hashlib.sha256(data).hexdigest()
        row = cls(
            message=message, name=name, content_type=content_type, size=len(data), sha256=digest
        )
        row.file.save(f"{message.pk}-{digest[:12]}", ContentFile(data), save=False)
        return row
