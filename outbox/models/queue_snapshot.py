"""The queue as the sweep saw it last, so that no page of operators has to read all of it."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class QueueSnapshot(models.Model):
    """One row, which the sweep replaces. All numbers count recipients."""

    next_at = models.DateTimeField()  # before this time, no sweep makes another
    at = models.DateTimeField(null=True)  # when this one was made, by the clock of the database
    took_ms = models.PositiveIntegerField(default=0)
    # The states and the ages are estimated from one waiting recipient in so many; 1: counted.
    one_in = models.PositiveIntegerField(default=1, db_default=1)
    depth = models.PositiveIntegerField(default=0)  # waiting or being sent
    due = models.PositiveIntegerField(default=0)  # their next attempt may start
    oldest_due_at = models.DateTimeField(null=True)  # when the first of them became due
    by_state = models.JSONField(default=dict)  # state → number
    by_destination = models.JSONField(default=list)  # [destination id, number, of them due]
    # [domain, numbers by age] of the largest domains and of those of known providers, then the rest
    by_domain = models.JSONField(default=list)

    class Meta:
        verbose_name = _("queue snapshot")
        verbose_name_plural = _("queue snapshots")

    def __str__(self) -> str:
        return f"{self.depth} recipients at {self.at}"


class Operations(QueueSnapshot):
    """The operations dashboard. The admin takes its address and its entry in the index from this.

    It has no permissions of its own: users who may view all messages may view it.
    """

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("operations dashboard")
        verbose_name_plural = _("operations dashboard")
