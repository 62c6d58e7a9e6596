"""BulkOperation: one action on many messages, performed in the background."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class BulkAction(models.TextChoices):
    RETRY = "retry", pgettext_lazy("bulk action", "Retry")
    CANCEL = "cancel", pgettext_lazy("bulk action", "Cancel")


class BulkOperation(models.Model):
    """The set is fixed when it is counted; nothing happens before a person has confirmed it."""

    action = models.CharField(_("action"), max_length=8, choices=BulkAction)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("requested by"),
    )
    why = models.TextField(_("why"), blank=True)
    selection = models.TextField(_("filter"), blank=True)  # the list's query string, as given
    message_ids = models.JSONField(default=list)  # ascending
    highest_id = models.BigIntegerField(default=0)  # of the messages when they were counted
    count = models.PositiveIntegerField(_("messages"))  # as shown to the person

    created_at = models.DateTimeField(_("counted at"), auto_now_add=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    lease_until = models.DateTimeField(null=True)  # another worker may go on from then
    last_id = models.BigIntegerField(default=0)  # messages up to this one are done
    done_count = models.PositiveIntegerField(_("messages done"), default=0)
    changed_count = models.PositiveIntegerField(_("recipients changed"), default=0)
    skipped_count = models.PositiveIntegerField(_("messages skipped"), default=0)
    finished_at = models.DateTimeField(_("finished at"), null=True)

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
        return f"{self.get_action_display()} · {self.count}"
