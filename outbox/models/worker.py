"""Worker: a process that delivers, and its lease on everything that it has claimed."""

from typing import Any

from django.db import models
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """A process that delivers. Until `lease_until`, no other worker takes over its claims.

    One row has the lease for all claims of a process, so that a heartbeat renews one row instead of
    hundreds. The id of an attempt is the fencing token.
    """

    HOST_MAX = 255

    host = models.CharField(_("host"), max_length=HOST_MAX)
    pid = models.PositiveIntegerField(_("process id"))
    version = models.CharField(_("version"), max_length=40, blank=True)
    started_at = models.DateTimeField(_("started at"))
    heartbeat_at = models.DateTimeField(_("last heartbeat"))
    lease_until = models.DateTimeField(_("lease until"))
    # When a user asked it to claim nothing more. It completes what it has begun, and stays idle.
    drain_requested_at = models.DateTimeField(_("drain requested at"), null=True, blank=True)
    # Stopped, or ended by the sweep.
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    # When the sweep had recovered all its claims. It has had none since then.
    swept_at = models.DateTimeField(_("claims recovered at"), null=True, blank=True)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        indexes = [
            # Sweep: workers whose lease has expired.
            models.Index(
                fields=["lease_until"],
                name="outbox_worker_alive",
                condition=models.Q(ended_at=None),
            ),
            # Sweep: ended workers whose claims have to be recovered.
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
    """Raise ProtectedError for a worker that may have claims: only its row leads to them."""
    if instance.swept_at is None:
        text = "The sweep has not recovered the claims of this worker yet."
        raise models.ProtectedError(text, {instance})
