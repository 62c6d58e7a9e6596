"""The processes that deliver: workers, Celery beat and the broker."""

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, Max, Q

from outbox import wakeup
from outbox.api.operations.present import Present
from outbox.models import HostCheck, Worker

ENDED_SHOWN_FOR = dt.timedelta(hours=1)
SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker process."""

    worker_id: int
    host: str
    pid: int
    version: str
    started_at: dt.datetime
    heartbeat_at: dt.datetime
    ended_at: dt.datetime | None
    is_alive: bool  # it still has its lease
    is_draining: bool  # it was asked to claim nothing more
    connections: int  # that it has open at present


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers that run or ended lately, newest first, and what wakes them."""

    workers: list[WorkerState]
    swept_at: dt.datetime | None  # when a process of any host last swept; None: never recorded
    beat_seen_at: dt.datetime | None  # when Celery beat last requested a sweep
    is_broker_reachable: bool


def workers(present: Present | None = None) -> Workers:
    """Return the workers. The broker is asked, and may take a second to respond."""
    present = present or Present()
    using, now = present.using, present.now
    lately = Q(ended_at=None) | Q(ended_at__gt=now - ENDED_SHOWN_FOR)
    latest = Worker.objects.using(using).filter(lately).order_by("-pk")
    rows = latest.annotate(connections=Count("slots"))[:SHOWN_MAX]
    seen = HostCheck.objects.using(using).aggregate(swept=Max("swept_at"), beat=Max("beat_at"))
    return Workers(
        workers=[
            WorkerState(
                worker_id=row.pk,
                host=row.host,
                pid=row.pid,
                version=row.version,
                started_at=row.started_at,
                heartbeat_at=row.heartbeat_at,
                ended_at=row.ended_at,
                is_alive=row.ended_at is None and row.lease_until > now,
                is_draining=row.drain_requested_at is not None,
                connections=row.connections,
            )
            for row in rows
        ],
        swept_at=seen["swept"],
        beat_seen_at=seen["beat"],
        is_broker_reachable=wakeup.is_broker_reachable(),
    )
