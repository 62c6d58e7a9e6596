"""How long recipients waited and how long their delivery took, as histograms for monitoring.

Every worker adds to rows of its own, in the group commit that writes the outcomes, as it does for
the counts of outcomes. There is one row for each worker, kind and bucket, whatever the number of
messages. The sweep adds the rows of workers that have ended to those of worker 0, so that the sums
never decrease (docs/decisions/0023).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from outbox.db.bulk import add_rows
from outbox.db.columns import columns_of
from outbox.models.states import State

MERGED_WORKER = 0  # the key of the rows of all workers that have ended
# The upper bounds of the buckets in milliseconds. A last bucket has what took longer. The number of
# a bucket is stored, so that a bound can only be added at the end.
BOUNDS_MS = tuple(
    1_000 * seconds
    for seconds in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400, 432_000)
)


class TimeKind(StrEnum):
    """What was measured: the wait for an attempt, or the time until a delivery ended so."""

    WAIT = "wait"  # of each attempt: from when it was due until a worker claimed the recipient
    SENT = State.SENT.value  # from when the message could be sent first
    FAILED = State.FAILED.value
    EXPIRED = State.EXPIRED.value


ENDS = (TimeKind.SENT, TimeKind.FAILED, TimeKind.EXPIRED)


class TimeKey(NamedTuple):
    """What is counted together. The order is that of the primary key."""

    worker_key: int
    kind: str
    bucket: int


class Measured(NamedTuple):
    """One time of one recipient."""

    worker_key: int
    kind: str
    ms: int


class DeliveryTime(models.Model):
    """How many times of a kind were within a bucket, and their sum."""

    pk = models.CompositePrimaryKey(*TimeKey._fields)
    worker_key = models.BigIntegerField()  # the worker's id, or MERGED_WORKER
    kind = models.CharField(max_length=10)  # a TimeKind
    bucket = models.PositiveSmallIntegerField()  # its number, from 0
    count = models.BigIntegerField()
    total_ms = models.BigIntegerField()

    class Meta:
        verbose_name = _("delivery time")
        verbose_name_plural = _("delivery times")

    def __str__(self) -> str:
        return f"{self.count} times of kind {self.kind} in bucket {self.bucket}"


_SUMS = ("count", "total_ms")
_COLUMNS = columns_of(DeliveryTime, (*TimeKey._fields, *_SUMS))


def bucket_of(ms: int) -> int:
    """Return the number of the bucket with the lowest bound that is not exceeded."""
    return bisect_left(BOUNDS_MS, ms)


def add_times(times: Iterable[Measured], using: str) -> None:
    """Add times to their buckets. The caller has a transaction."""
    sums: dict[TimeKey, list[int]] = defaultdict(lambda: [0, 0])
    for worker_key, kind, ms in times:
        row = sums[TimeKey(worker_key, kind, bucket_of(ms))]
        row[0] += 1
        row[1] += ms
    write_sums({key: (count, total) for key, (count, total) in sums.items()}, using)


def write_sums(sums: dict[TimeKey, tuple[int, int]], using: str) -> None:
    """Add counts and sums to their rows, in the order of the keys. The caller has a transaction."""
    rows = [(*key, *values) for key, values in sorted(sums.items())]
    add_rows(using, DeliveryTime._meta.db_table, _COLUMNS, rows, to=_SUMS)
