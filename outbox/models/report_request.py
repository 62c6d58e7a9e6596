"""ReportRequest: the delivery status notifications that the sender of a message requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.bulk import Among
from outbox.models.message import Message


class Notify(StrEnum):
    """What to notify the sender of, per recipient (NOTIFY, RFC 3461 4.1)."""

    NEVER = "never"  # alone
    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"


class Ret(StrEnum):
    """What a notification of a failure returns of the message (RET, RFC 3461 4.3)."""

    FULL = "full"
    HDRS = "hdrs"


REPORTED = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)  # what `wants_report` means


class ReportRequestQuerySet(models.QuerySet["ReportRequest"]):
    def reopen(self, recipients: Mapping[int, Collection[int]], now: dt.datetime) -> None:
        """Look at messages again whose recipients are retried, by message.

        Only messages that request a report which the site can make. What was reported about these
        recipients is over: a second failure is reported as well. A look at the same time sees that
        `due_at` has changed, and leaves the message to the next one.
        """
        wanted = self.filter(Among("message", recipients))
        wanted = wanted.exclude(notify__in=["", Notify.NEVER.value])
        if not wanted.update(due_at=now):
            return
        reported = wanted.only("reported")
        changed = [one for one in reported if one.forget(recipients[one.pk])]
        if changed:
            self.bulk_update(changed, ["reported"])


class ReportRequest(models.Model):
    """What a message requests. Most messages request nothing and have no row.

    The parameters are passed on to servers with DSN. Where those report nothing, the site sends
    reports of its own (`outbox.api.delivery_reports`).
    """

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="report_request"
    )
    notify = models.CharField(max_length=32, blank=True)  # `Notify`, comma-separated
    ret = models.CharField(max_length=4, blank=True)  # a `Ret`; empty: only the header
    envid = models.CharField(max_length=100, blank=True)  # empty: the signed token of the delivery
    due_at = models.DateTimeField(null=True)  # when to look next; NULL: nothing can change
    # What was reported: {"failed": [recipient, …], "relayed": […], "delayed": {recipient: number}}.
    reported: Any = models.JSONField(default=dict)

    objects = ReportRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("report request")
        verbose_name_plural = _("report requests")
        indexes = [
            # Sweep: the messages whose recipients may have to be reported.
            models.Index(
                fields=["due_at"],
                name="outbox_report_due",
                condition=models.Q(due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"report request of message {self.pk}"

    def forget(self, recipients: Collection[int]) -> bool:
        """Remove recipients from what was reported; return whether there were any."""
        before = self.reported
        texts = set(map(str, recipients))  # JSON has no other keys
        self.reported = {
            action: {pk: number for pk, number in known.items() if pk not in texts}
            if isinstance(known, dict)
            else [pk for pk in known if str(pk) not in texts]
            for action, known in before.items()
        }
        return bool(self.reported != before)

    @property
    def wanted(self) -> frozenset[str]:
        """What the sender wants to be notified of."""
        return frozenset(self.notify.split(",")) & {one.value for one in REPORTED}
