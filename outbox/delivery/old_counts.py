"""Old counts of outcomes: the minutes of past hours become one hour of all workers, later nothing.

Readers add rows up, so that they see the same sums before and after.
"""

import datetime as dt
from collections import Counter

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, Sum

from outbox.conf import get_conf
from outbox.db import clock
from outbox.db.bulk import fetch
from outbox.models import (
    CountMark,
    DeliveryCount,
    DeliveryTime,
    DeliveryTotal,
    Recipient,
    ReplyGroup,
    Worker,
)
from outbox.models.delivery_count import CountKey, add
from outbox.models.delivery_time import MERGED_WORKER, TimeKey, write_sums

COMPACTED_AFTER = dt.timedelta(days=2)
_AT_ONCE = dt.timedelta(minutes=10)  # merged in one transaction
_HOUR = dt.timedelta(hours=1)
_MERGED = ("account_key", "domain", "outcome", "reply_key")
_IS_DETAILED = ~Q(worker_key=MERGED_WORKER)
_ONE = 1  # the id of the only mark
_DELETE_TIMES = """
DELETE FROM outbox_deliverytime WHERE worker_key IN ({places})
RETURNING kind, bucket, count, total_ms"""


def compact(using: str) -> int:
    """Merge the next minutes that are old enough; return the number of rows that they had."""
    limit = _hour_of(clock.now() - COMPACTED_AFTER)
    if CountMark.objects.using(using).filter(pk=_ONE, compacted_until__gte=limit).exists():
        return 0
    with transaction.atomic(using=using):
        CountMark.objects.using(using).get_or_create(pk=_ONE)
        marks = CountMark.objects.using(using).select_for_update(skip_locked=True, no_key=True)
        mark = marks.filter(pk=_ONE).first()
        if mark is None or (mark.compacted_until and mark.compacted_until >= limit):
            return 0
        detailed = DeliveryCount.objects.using(using).filter(_IS_DETAILED, minute__lt=limit)
        if mark.compacted_until:
            detailed = detailed.filter(minute__gte=mark.compacted_until)
        first = detailed.aggregate(first=Min("minute"))["first"]
        end = limit if first is None else min(first + _AT_ONCE, _hour_of(first) + _HOUR)
        merged = 0 if first is None else _merge(first, end, using)
        CountMark.objects.using(using).filter(pk=_ONE).update(compacted_until=end)
        return merged


def _merge(start: dt.datetime, end: dt.datetime, using: str) -> int:
    """Add the minutes from `start` to before `end`, which are in one hour, to that hour."""
    of_minutes = _IS_DETAILED & Q(minute__gte=start, minute__lt=end)
    minutes = DeliveryCount.objects.using(using).filter(of_minutes)
    hour = _hour_of(start)
    sums = minutes.order_by().values_list(*_MERGED).annotate(Sum("count"))
    # To the totals of the hour as well, so that those of its minutes have to go, too.
    add({CountKey(hour, MERGED_WORKER, *key): total for *key, total in sums}, using)
    DeliveryTotal.objects.using(using).filter(of_minutes)._raw_delete(using)
    return int(minutes._raw_delete(using))


def _hour_of(moment: dt.datetime) -> dt.datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def merge_times(using: str) -> int:
    """Add the times of workers that have ended to those of MERGED_WORKER; return their rows."""
    rows = DeliveryTime.objects.using(using).exclude(worker_key=MERGED_WORKER).order_by()
    written = set(rows.values_list("worker_key", flat=True).distinct())
    unswept = Worker.objects.using(using).filter(pk__in=written, swept_at=None)
    ended = sorted(written - set(unswept.values_list("pk", flat=True)))
    if not ended:
        return 0
    counts, totals = Counter[TimeKey](), Counter[TimeKey]()
    places = ", ".join(["%s"] * len(ended))
    with transaction.atomic(using=using):
        # Two sweeps lock the rows in the same order. The second one then deletes nothing.
        locked = rows.filter(worker_key__in=ended).order_by(*TimeKey._fields).select_for_update()
        list(locked.values_list("worker_key"))
        deleted = fetch(using, _DELETE_TIMES.format(places=places), ended)
        for kind, bucket, count, total in deleted:
            key = TimeKey(MERGED_WORKER, kind, bucket)
            counts[key] += count
            totals[key] += total
        write_sums({key: (counts[key], totals[key]) for key in counts}, using)
    return len(deleted)


def delete_old(using: str) -> int:
    """Delete an hour of counts that are too old, and reply groups that nothing refers to."""
    cutoff = clock.now() - dt.timedelta(seconds=get_conf().count_retention)
    counts = DeliveryCount.objects.using(using)
    oldest = counts.filter(minute__lt=cutoff).aggregate(oldest=Min("minute"))["oldest"]
    if oldest is None:
        return 0
    too_old = {"minute__lt": min(cutoff, oldest + _HOUR)}
    deleted = int(counts.filter(**too_old)._raw_delete(using))
    DeliveryTotal.objects.using(using).filter(**too_old)._raw_delete(using)
    used = Recipient.objects.using(using).filter(reply_key=OuterRef("pk"))
    unseen = ReplyGroup.objects.using(using).filter(last_seen_at__lt=cutoff)
    unseen.filter(~Exists(used))._raw_delete(using)
    return deleted
