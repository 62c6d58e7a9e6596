"""Worker: one process that delivers, and the lease on everything it holds."""

from django.db import models


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

    class Meta:
        indexes = [
            # The sweep looks for living rows whose lease ran out.
            models.Index(
                fields=["lease_until"],
                name="outbox_worker_alive",
                condition=models.Q(ended_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}"
