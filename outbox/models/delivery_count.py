"""Counts of the outcomes of delivery, for the pages of operators.

Every worker adds to rows of its own, in the group commit that writes the outcomes, so that no row
is shared by all of them. Readers add the rows up. The sweep merges those of past hours
(docs/decisions/0023).
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.bulk import add_rows
from outbox.db.columns import Column, columns_of
from outbox.models.states import State

DOMAIN_MAX = 255
UNCOUNTED = State.QUEUED  # given back and repeated at once: no outcome yet


class CountKey(NamedTuple):
    """What is counted together. The order is that of the primary key."""

    minute: dt.datetime | None  # None: the present one
    worker_key: int
    account_key: int
    domain: str
    outcome: str
    reply_key: int


class DeliveryCount(models.Model):
    """How many recipients had an outcome in a minute, or in an hour after it was compacted."""

    pk = models.CompositePrimaryKey(*CountKey._fields)
    minute = models.DateTimeField()  # its start, by the clock of the database
    # The worker's id; 0: an hour of all workers. Bounces, which no worker finds, have -1 less the
    # account's id.
    worker_key = models.BigIntegerField()
    account_key = models.BigIntegerField()  # the account's id, which may have been deleted
    domain = models.CharField(max_length=DOMAIN_MAX)  # of the recipients' addresses
    outcome = models.CharField(max_length=10, choices=State)
    reply_key = models.BigIntegerField()  # of the reply group of a failure, or 0
    count = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("delivery count")
        verbose_name_plural = _("delivery counts")
        indexes = [
            # Failures by reply: the reply groups since a time.
            models.Index(
                fields=["minute", "reply_key"],
                name="outbox_count_failures",
                condition=~models.Q(reply_key=0),
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.outcome} at {self.domain}"


class TotalKey(NamedTuple):
    """What is counted together in the totals. The order is that of the primary key."""

    minute: dt.datetime | None
    worker_key: int
    outcome: str


class DeliveryTotal(models.Model):
    """The sum of the counts of all accounts, domains and reply groups.

    A chart of a day would otherwise add up hundreds of thousands of rows.
    """

    pk = models.CompositePrimaryKey(*TotalKey._fields)
    minute = models.DateTimeField()
    worker_key = models.BigIntegerField()
    outcome = models.CharField(max_length=10, choices=State)
    count = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("delivery total")
        verbose_name_plural = _("delivery totals")

    def __str__(self) -> str:
        return f"{self.count} {self.outcome}"


class CountMark(models.Model):
    """The progress of the sweep: all counts before this time have been compacted."""

    compacted_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("mark of the delivery counts")
        verbose_name_plural = _("marks of the delivery counts")

    def __str__(self) -> str:
        return f"compacted until {self.compacted_until}"


_COLUMNS = columns_of(DeliveryCount, (*CountKey._fields, "count"))
_TOTAL_COLUMNS = columns_of(DeliveryTotal, (*TotalKey._fields, "count"))


def domain_of(address: str) -> str:
    """Return the domain of an address as it is counted: in lower case."""
    return address.rpartition("@")[2].lower()[:DOMAIN_MAX]


def add(counts: Mapping[CountKey, int], using: str) -> None:
    """Add to the counts and to the totals, in the order of their keys.

    The caller has a transaction.
    """
    totals: Counter[TotalKey] = Counter()
    for key, count in counts.items():
        totals[TotalKey(key.minute, key.worker_key, key.outcome)] += count
    _add(DeliveryCount, _COLUMNS, counts, using)
    _add(DeliveryTotal, _TOTAL_COLUMNS, totals, using)


def _add(
    model: type[models.Model],
    columns: Sequence[Column],
    counts: Mapping[Any, int],
    using: str,
) -> None:
    rows = [(*key, count) for key, count in sorted(counts.items())]
    add_rows(using, model._meta.db_table, columns, rows, to=["count"])
