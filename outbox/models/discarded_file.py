"""Files of the storage that no row names any more.

A file cannot be deleted in a transaction, and a storage may hang. So its name is noted in the
transaction, and a worker deletes the file (`outbox.delivery.discarded_files`).
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.clock import database_now


class DiscardedFile(models.Model):
    """A file that a worker has to delete."""

    name = models.CharField(max_length=255)
    due_at = models.DateTimeField()

    class Meta:
        verbose_name = _("discarded file")
        verbose_name_plural = _("discarded files")
        indexes = [
            # Files to delete, oldest first.
            models.Index(fields=["due_at"], name="outbox_discarded_due")
        ]

    def __str__(self) -> str:
        return self.name


def discard_files(names: Collection[str | None], using: str) -> None:
    """Note files to delete, in the caller's transaction. An empty name is not an error."""
    if given := [name for name in names if name]:
        now = database_now(using)
        DiscardedFile.objects.using(using).bulk_create(
            DiscardedFile(name=name, due_at=now) for name in given
        )
