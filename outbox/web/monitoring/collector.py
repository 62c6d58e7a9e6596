"""The figures that Prometheus reads, from the database.

docs/monitoring has a dashboard and alert rules for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from django.db.models import Count, Max, Q
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from outbox import __version__
from outbox.api import operations
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import (
    OPEN,
    Alarm,
    AlarmKind,
    AlarmNotification,
    Attempt,
    Channel,
    Circuit,
    Destination,
    HostCheck,
    Message,
    Severity,
    WebhookCall,
)
from outbox.models.delivery_time import BOUNDS_MS, ENDS, TimeKind

_RECENT = 5  # minutes
_MOMENTS = {"checked_at": "check", "swept_at": "sweep", "beat_at": "beat_request"}


class OutboxCollector(Collector):
    """Reads the figures at each scrape."""

    def collect(self) -> Iterable[Metric]:
        """Yield every figure. Raise what the database raises."""
        using = get_conf().database
        yield _gauge("outbox_info", "Version of the outbox.", ["version"], [([__version__], 1)])
        yield from _queue()
        yield from _delivery(using)
        yield from _alarms(using)
        yield from _hosts(using)
        yield from _totals(using)
        yield from _times()


def _gauge(
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    samples: Iterable[tuple[Sequence[str], float]] = (),
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _single(name: str, documentation: str, number: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=number)


def _queue() -> Iterator[Metric]:
    """Yield the figures of the latest snapshot, which a sweep makes: no scrape counts the queue."""
    queue = operations.queue()
    if queue is None:
        return
    counts = [([state.value], queue.by_state.get(state, 0)) for state in sorted(OPEN)]
    yield _gauge("outbox_recipients", "Recipients without a final state.", ["state"], counts)
    yield _single("outbox_recipients_due", "Recipients whose next attempt may start.", queue.due)
    oldest = queue.oldest_due_at
    yield _single(
        "outbox_oldest_due_timestamp_seconds",
        "When the first due recipient became due; 0 without one.",
        oldest.timestamp() if oldest else 0,
    )
    yield _single(
        "outbox_queue_snapshot_timestamp_seconds",
        "When these figures were counted.",
        queue.at.timestamp(),
    )


def _delivery(using: str) -> Iterator[Metric]:
    found = operations.workers()
    workers = [worker for worker in found.workers if worker.is_alive]
    yield _single("outbox_workers", "Workers with a valid lease.", len(workers))
    beats = [([one.host, str(one.pid)], one.heartbeat_at.timestamp()) for one in workers]
    yield _gauge(
        "outbox_worker_heartbeat_timestamp_seconds",
        "Latest heartbeat of each worker.",
        ["host", "pid"],
        beats,
    )
    yield _single("outbox_broker_up", "Whether the broker responds.", found.is_broker_reachable)
    destinations = Destination.objects.using(using).filter(Destination.fitting())
    now = database_now(using)
    blocked = {
        "circuit": destinations.exclude(circuit=Circuit.CLOSED),
        "limit": destinations.filter(Q(paused_until__gt=now) | Destination.is_suspended_at(now)),
    }
    yield _gauge(
        "outbox_destinations_blocked",
        "Destinations that a circuit or a rate limit blocks.",
        ["rule"],
        [([rule], rows.count()) for rule, rows in blocked.items()],
    )
    intervals = operations.throughput(_RECENT)
    outcomes = ("sent", "failed", "bounced", "deferred", "uncertain")
    yield _gauge(
        "outbox_recent_outcomes",
        "Recipients by the outcome of their attempts, or that bounced, in the last five minutes.",
        ["outcome"],
        [([name], sum(getattr(one, name) for one in intervals)) for name in outcomes],
    )


def _alarms(using: str) -> Iterator[Metric]:
    found = Alarm.objects.using(using).open().order_by().values_list("kind", "severity")
    counts = {(kind, severity): count for kind, severity, count in found.annotate(Count("pk"))}
    samples = [
        ([kind.value, severity.value], counts.get((kind.value, severity.value), 0))
        for kind in AlarmKind
        for severity in Severity
    ]
    yield _gauge("outbox_alarms", "Open alarms.", ["kind", "severity"], samples)
    rows = AlarmNotification.objects.using(using).filter(failed_at__isnull=False)
    failed = dict(rows.order_by().values_list("channel").annotate(Count("pk")))
    yield _gauge(
        "outbox_alarm_notifications_failed",
        "Notifications of alarms whose latest attempt failed.",
        ["channel"],
        [([channel.value], failed.get(channel.value, 0)) for channel in Channel],
    )


def _hosts(using: str) -> Iterator[Metric]:
    hosts = list(HostCheck.objects.using(using).order_by("host"))
    for column, name in _MOMENTS.items():
        moments = [(one.host, getattr(one, column)) for one in hosts]
        yield _gauge(
            f"outbox_{name}_timestamp_seconds",
            f"Latest {name.replace('_', ' ')} of each host.",
            ["host"],
            [([host], moment.timestamp()) for host, moment in moments if moment],
        )
    skews = [([one.host], one.measures["clock_skew"]) for one in hosts if one.measures]
    yield _gauge(
        "outbox_clock_skew_seconds",
        "Clock of the host minus that of the database.",
        ["host"],
        skews,
    )
    free = [
        ([one.host, name.removesuffix("_free")], number)
        for one in hosts
        for name, number in sorted(one.measures.items())
        if name.endswith("_free")
    ]
    yield _gauge("outbox_disk_free_bytes", "Free space.", ["host", "volume"], free)


def _totals(using: str) -> Iterator[Metric]:
    """Yield counters. Ids only grow, and a database counts them without reading the table."""
    yield CounterMetricFamily(
        "outbox_attempts",
        "Attempts since the beginning, by the highest id.",
        value=_highest(Attempt, using),
    )
    yield CounterMetricFamily(
        "outbox_messages",
        "Messages and drafts since the beginning, by the highest id.",
        value=_highest(Message, using),
    )
    waiting = WebhookCall.objects.using(using).filter(~Q(next_attempt_at=None))
    yield _single("outbox_webhook_calls_waiting", "Webhook calls to make.", waiting.count())


def _times() -> Iterator[Metric]:
    """Yield the histograms, which the workers keep in the database."""
    found = operations.delivery_times()
    wait = HistogramMetricFamily(
        "outbox_queue_wait_seconds",
        "From when an attempt was due until a worker claimed the recipient.",
    )
    wait.add_metric([], *_buckets(found[TimeKind.WAIT]))
    delivery = HistogramMetricFamily(
        "outbox_delivery_seconds",
        "From when a message could be sent first until the delivery to a recipient ended.",
        labels=["outcome"],
    )
    for kind in ENDS:
        delivery.add_metric([kind.value], *_buckets(found[kind]))
    yield wait
    yield delivery


def _buckets(times: operations.Times) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative counts by upper bound, and the sum in seconds."""
    bounds = [*(f"{bound / 1_000:.1f}" for bound in BOUNDS_MS), "+Inf"]
    return list(zip(bounds, accumulate(times.counts), strict=True)), times.total_ms / 1_000


def _highest(model: type[Attempt] | type[Message], using: str) -> int:
    return model._default_manager.using(using).aggregate(highest=Max("pk"))["highest"] or 0
