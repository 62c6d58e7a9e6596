"""BulkOperation: one action on many messages, performed in the background."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from outbox.db.fields import DatabaseTimeField


class BulkAction(models.TextChoices):
    """The actions on recipients, by the names that are stored, with their labels on every page."""

    MARK_SENT = "mark-sent", _("Mark as sent")
    RETRY_UNCERTAIN = "retry-uncertain", _("Retry uncertain recipients")
    RELEASE = "release", _("Release delivery")
    RETRY = "retry", _("Retry delivery")
    RETRY_FAILED = "retry-failed", _("Retry failed recipients")
    HOLD = "hold", _("Hold delivery")
    CANCEL = "cancel", _("Cancel delivery")
    SUPPRESS = "suppress", _("Suppress addresses")


class BulkSkip(models.TextChoices):
    """Why an operation did not change a message, by the names that are stored."""

    GONE = "gone", _("Deleted in the meantime.")
    UNMATCHED = "unmatched", _("The filter no longer matches.")
    STATE = "state", _("The recipients had already changed state.")
    TOO_LATE = "too-late", _("Already being sent.")
    ACCOUNT = "account", _("The author may no longer send with the account.")
    ERASED = "erased", _("The content was erased.")
    OTHER_KIND = "other-kind", _("The failure is not about the recipient.")
    SUPPRESSED = "suppressed", _("The address is already suppressed.")
    ERROR = "error", _("An error occurred. The log of the worker has the details.")


class BulkOperation(models.Model):
    """An action on the messages of a filter, or on selected ones.

    The set is fixed when it is counted, and its ids are in `BulkPage`. A message that does not
    match the filter any more is skipped, and one that begins to match is not in the set.
    """

    action = models.CharField(_("action"), max_length=16, choices=BulkAction)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("requested by"),
    )
    why = models.TextField(_("reason"), blank=True)
    selection = models.TextField(_("filter"), blank=True)  # the list's query string, as given
    criteria = models.JSONField(default=dict, db_default={})  # see `outbox.api.history.criteria`
    message_ids = models.JSONField(default=list)  # of operations that an earlier version proposed
    highest_id = models.BigIntegerField(default=0)  # the highest message id when they were counted
    count = models.PositiveIntegerField(_("messages"))  # as shown for confirmation
    states = models.JSONField(default=dict, db_default={})  # recipients by state, as shown
    suppressed_count = models.PositiveIntegerField(default=0, db_default=0)  # recipients, as shown

    created_at = DatabaseTimeField(_("counted at"), auto_now_add=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    lease_until = models.DateTimeField(null=True)  # afterwards another worker may continue
    last_id = models.BigIntegerField(default=0)  # messages up to this id are done
    done_count = models.PositiveIntegerField(_("messages done"), default=0)
    changed_count = models.PositiveIntegerField(_("recipients changed"), default=0)
    skipped_count = models.PositiveIntegerField(_("messages skipped"), default=0)
    skips = models.JSONField(default=dict, db_default={})  # messages by `BulkSkip`
    examples = models.JSONField(default=list, db_default=[])  # [message id, `BulkSkip`], the first
    finished_at = models.DateTimeField(_("finished at"), null=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True)  # then it is finished as well
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("cancelled by"),
    )

    class Meta:
        verbose_name = _("bulk operation")
        verbose_name_plural = _("bulk operations")
        indexes = [
            # Sweep: what is left to do.
            models.Index(
                fields=["id"],
                name="outbox_bulk_unfinished",
                condition=models.Q(confirmed_at__isnull=False, finished_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        text = ngettext(
            "%(action)s: %(count)d message", "%(action)s: %(count)d messages", self.count
        )
        return text % {"action": self.get_action_display(), "count": self.count}

    @property
    def is_running(self) -> bool:
        """Whether the operation was confirmed and has not ended."""
        return self.confirmed_at is not None and self.finished_at is None

    @property
    def processed_count(self) -> int:
        """The number of messages that were changed or skipped."""
        return self.done_count + self.skipped_count


class BulkPage(models.Model):
    """Some thousand message ids of an operation. They are deleted when it ends."""

    operation = models.ForeignKey(
        BulkOperation, on_delete=models.CASCADE, related_name="pages", db_index=False
    )
    last_id = models.BigIntegerField()  # the highest id
    packed = models.BinaryField()

    class Meta:
        verbose_name = _("page of a bulk operation")
        verbose_name_plural = _("pages of bulk operations")
        constraints = [
            # Worker: the next page of an operation.
            models.UniqueConstraint(fields=["operation", "last_id"], name="outbox_bulk_page_next")
        ]

    def __str__(self) -> str:
        return f"messages up to {self.last_id} of bulk operation {self.operation_id}"

    @classmethod
    def of(cls, operation: BulkOperation, ids: Sequence[int]) -> BulkPage:
        """Return the unsaved page of ascending ids: their differences, which compress well."""
        steps = array("Q", [ids[0], *(after - before for before, after in pairwise(ids))])
        return cls(operation=operation, last_id=ids[-1], packed=zlib.compress(steps.tobytes(), 1))

    @property
    def ids(self) -> Iterator[int]:
        """The ids, ascending."""
        return accumulate(array("Q", zlib.decompress(self.packed)))
