"""How long recipients waited and how long deliveries took, since the beginning."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db.models import Sum

from outbox.conf import get_conf
from outbox.models import DeliveryTime
from outbox.models.delivery_time import BOUNDS_MS, TimeKind


@dataclass(slots=True)
class Times:
    """How many times were within each bound of BOUNDS_MS, with the rest as the last, and the sum.

    Neither a count nor the sum ever decreases.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    total_ms: int = 0


def delivery_times() -> dict[TimeKind, Times]:
    """Return the times of each kind. Their cost does not depend on the number of messages."""
    found: dict[TimeKind, Times] = defaultdict(Times)
    rows = DeliveryTime.objects.using(get_conf().database).order_by().values_list("kind", "bucket")
    for kind, bucket, count, total in rows.annotate(Sum("count"), Sum("total_ms")):
        times = found[TimeKind(kind)]
        times.counts[bucket] = int(count)  # PostgreSQL adds up to a decimal
        times.total_ms += int(total)
    return found
