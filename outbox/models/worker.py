"""Worker: one process that delivers, and the lease on everything it holds."""

from typing import Any

from django.db import models
from django.db.models.signals import pre_delete
from django.dispatch import receiver


class Worker(models.Model):
    """A delivering process. While `lease_until` is ahead, what it claimed is its own.

    One row a process carries the lease of all it claimed, so a heartbeat renews one row, not
    hundreds; an attempt's id is the fencing token.
    """

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)  # stopped by itself, or swept
    # When the sweep had taken back all that it held; it held nothing from then on.
    swept_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # The sweep looks for living rows whose lease ran out.
            models.Index(
                fields=["lease_until"],
                name="outbox_worker_alive",
                condition=models.Q(ended_at=None),
            ),
            # The sweep takes back what ended workers held, once.
            models.Index(
                fields=["ended_at"],
                name="outbox_worker_unswept",
                condition=models.Q(swept_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}"


@receiver(pre_delete, sender=Worker)
def keep_until_swept(instance: Worker, **_: Any) -> None:
    """Raise ProtectedError for a worker that may hold messages: only its row leads to them."""
    if instance.swept_at is None:
        text = "The sweep has not taken back yet what this worker held."
        raise models.ProtectedError(text, {instance})
