"""MTA-STS policies of domains, and the counts of TLS sessions that reports are made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.bulk import add_rows
from outbox.db.columns import columns_of

DOMAIN_MAX = 255
POST_FAILURE_MAX = 300
REPORT_ACCEPTED = "outbox.tls_reports.accepted"  # a `LastRun`: when a report was accepted by POST
_DAY = dt.timedelta(days=1)
_COUNTED_WITHIN = dt.timedelta(hours=2)  # after a day: sessions of its end are counted by then


class MtaStsPolicy(models.Model):
    """The policy of a domain, which holds until it expires (RFC 8461 5.1)."""

    domain = models.CharField(max_length=DOMAIN_MAX, primary_key=True)  # in A-labels
    policy_id = models.CharField(max_length=32, blank=True)  # of the DNS record when it was read
    mode = models.CharField(max_length=10)
    mx: Any = models.JSONField(default=list)  # patterns of the servers' names
    max_age = models.PositiveIntegerField()  # seconds
    fetched_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = _("MTA-STS policy")
        verbose_name_plural = _("MTA-STS policies")
        indexes = [
            # Retention: the policies that have expired.
            models.Index(fields=["expires_at"], name="outbox_mtasts_expires"),
        ]

    def __str__(self) -> str:
        return f"MTA-STS policy of {self.domain}"


class TlsCountKey(NamedTuple):
    """What is counted together. The order is that of the primary key."""

    day: dt.datetime
    worker_key: int
    domain: str
    policy_type: str
    result: str
    host: str


class TlsCount(models.Model):
    """How many sessions with a host had a result on a day (RFC 8460 4.3).

    Every worker adds to rows of its own, so that none waits for another one.
    """

    pk = models.CompositePrimaryKey(*TlsCountKey._fields)
    day = models.DateTimeField()  # its start, in UTC
    worker_key = models.BigIntegerField()
    domain = models.CharField(max_length=DOMAIN_MAX)  # of the recipients, in A-labels
    policy_type = models.CharField(max_length=20)  # tlsa, sts or no-policy-found
    result = models.CharField(max_length=40, blank=True)  # a result type; empty: a success
    host = models.CharField(max_length=DOMAIN_MAX)  # the server
    count = models.PositiveIntegerField()
    # The day's report to the domain was queued, or it wants none. One row with it is enough.
    is_reported = models.BooleanField(default=False, db_default=False)
    # Why the latest POST of the day's report was not accepted: the stored form of a reason, or the
    # text of a former version. Empty after one that was accepted.
    post_failure = models.CharField(
        max_length=POST_FAILURE_MAX, blank=True, default="", db_default=""
    )

    class Meta:
        verbose_name = _("TLS count")
        verbose_name_plural = _("TLS counts")

    def __str__(self) -> str:
        return f"{self.count} {self.result or 'successful'} at {self.host}"


_COLUMNS = columns_of(TlsCount, (*TlsCountKey._fields, "count"))


def add_tls_counts(counts: Mapping[TlsCountKey, int], using: str) -> None:
    """Add to the counts, in the order of their keys. The caller has a transaction."""
    rows = [(*key, count) for key, count in sorted(counts.items())]
    add_rows(using, TlsCount._meta.db_table, _COLUMNS, rows, to=["count"])


def day_of(moment: dt.datetime) -> dt.datetime:
    """Return the start of a moment's day in UTC, which is the day of reports (RFC 8460 4.1)."""
    return moment.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def report_due_at(day: dt.datetime) -> dt.datetime:
    """Return when the reports of a day can be sent."""
    return day + _DAY + _COUNTED_WITHIN
