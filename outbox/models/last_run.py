"""LastRun: when a rare task ran last, in whatever process."""

from __future__ import annotations

import datetime as dt

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db import clock
from outbox.db.clock import database_now


class LastRun(models.Model):
    """One task that is done every few hours by one of many processes."""

    task = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("last run of a task")
        verbose_name_plural = _("last runs of tasks")

    def __str__(self) -> str:
        return f"last run of {self.task}"

    @classmethod
    def claim(cls, task: str, every: dt.timedelta, using: str) -> bool:
        """Return whether a task is due, and record that it runs now. Of many callers, one may."""
        last = cls.last(task, using)
        if last is not None and last > clock.now() - every:
            return False
        now = database_now(using)
        if last is None:
            _, is_first = cls._default_manager.using(using).get_or_create(
                pk=task, defaults={"at": now}
            )
            return is_first
        rows = cls._default_manager.using(using).filter(pk=task)
        return rows.filter(at=last).update(at=now) == 1

    @classmethod
    def record(cls, task: str, at: dt.datetime, using: str) -> None:
        """Record when something that has no period happened last."""
        cls._default_manager.using(using).update_or_create(pk=task, defaults={"at": at})

    @classmethod
    def last(cls, task: str, using: str) -> dt.datetime | None:
        """Return when a task ran last; None: never."""
        rows = cls._default_manager.using(using).filter(pk=task)
        at: dt.datetime | None = rows.values_list("at", flat=True).first()
        return at
