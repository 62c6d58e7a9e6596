"""The lease of one worker process. The database's clock decides when it ends.

With a local copy on the monotonic clock, the worker stops no later than that.
"""

import datetime as dt
import math
import os
import socket
import time
from dataclasses import dataclass

from django.db import connections, transaction
from django.db.models import Count, Q

from outbox.conf import get_conf
from outbox.db.bulk import fetch
from outbox.db.clock import database_now
from outbox.models import Slot, Worker

_COUNT_SECONDS = 0.1  # in which the number of workers is not read again


@dataclass(slots=True)
class Lease:
    """Held while `time.monotonic()` is before `until`; `lost` is for good."""

    worker_id: int
    until: float
    seen: dt.datetime  # the database's time …
    seen_at: float  # … no later than when `time.monotonic()` said this
    lost: bool = False
    is_draining: bool = False  # claim nothing more, until a user ends that
    workers_alive: int = 1
    rank: int = 0  # how many of them are older than this one
    counted_at: float = -math.inf  # when `workers_alive` was read, by `time.monotonic()`

    @property
    def held(self) -> bool:
        """Return whether a final dot may still be sent under it."""
        return not self.lost and time.monotonic() < self.until

    @property
    def now(self) -> dt.datetime:
        """The database's time, without a query. The clock of this host may be wrong or be set.

        It is never early, so what is due at this time is due for a claim as well.
        """
        return self.seen + dt.timedelta(seconds=time.monotonic() - self.seen_at)


def register(version: str, using: str) -> Lease:
    """Register this process as a worker."""
    conf = get_conf()
    asked_at = time.monotonic()
    now, seen_at = database_now(using), time.monotonic()
    worker = Worker.objects.using(using).create(
        host=socket.gethostname()[: Worker.HOST_MAX],
        pid=os.getpid(),
        version=version,
        started_at=now,
        heartbeat_at=now,
        lease_until=now + dt.timedelta(seconds=conf.lease_duration),
    )
    lease = Lease(worker.pk, asked_at + conf.lease_duration, seen=now, seen_at=seen_at)
    count_workers(lease, using)
    return lease


def count_workers(lease: Lease, using: str) -> None:
    """Count the workers that share the work, including those started since the last heartbeat.

    Also note whether this worker is being drained.
    """
    alive = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=lease.now)
    claiming = Q(drain_requested_at=None)
    counts = alive.aggregate(
        claiming=Count("pk", filter=claiming),
        older=Count("pk", filter=claiming & Q(pk__lt=lease.worker_id)),
        draining=Count("pk", filter=~claiming & Q(pk=lease.worker_id)),
    )
    lease.workers_alive, lease.rank = max(counts["claiming"], 1), counts["older"]
    lease.is_draining = bool(counts["draining"])
    lease.counted_at = time.monotonic()


def count_workers_again(lease: Lease, using: str) -> None:
    """Count the workers again, unless they were counted within the last 0.1 s.

    A worker may have hundreds of MX sites to begin with.
    """
    if time.monotonic() >= lease.counted_at + _COUNT_SECONDS:
        count_workers(lease, using)


def renew(lease: Lease, using: str) -> None:
    """Renew the lease. Once it has ended or was swept, it stays lost."""
    conf = get_conf()
    asked_at = time.monotonic()
    now, seen_at = database_now(using), time.monotonic()
    alive = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now)
    renewed = alive.filter(pk=lease.worker_id).update(
        heartbeat_at=now, lease_until=now + dt.timedelta(seconds=conf.lease_duration)
    )
    if renewed:
        lease.until = asked_at + conf.lease_duration
        lease.seen, lease.seen_at = now, seen_at
        count_workers(lease, using)
    else:
        lease.lost = True


def lock(worker_id: int, using: str) -> None:
    """Lock the row of a worker until the transaction ends, as the claim of an attempt does."""
    if connections[using].vendor == "postgresql":
        fetch(using, "SELECT id FROM outbox_worker WHERE id = %s FOR SHARE", [worker_id])


def is_unlocked(worker_id: int, using: str) -> bool:
    """Return whether no transaction that has locked the worker is still open."""
    with transaction.atomic(using=using):
        rows = Worker.objects.using(using).filter(pk=worker_id)
        return bool(rows.select_for_update(skip_locked=True, no_key=True).values_list("pk"))


def end(lease: Lease, using: str) -> None:
    """End the worker and release its slots."""
    with transaction.atomic(using=using):
        Slot.objects.using(using).filter(worker_id=lease.worker_id).delete()
        Worker.objects.using(using).filter(pk=lease.worker_id, ended_at=None).update(
            ended_at=database_now(using)
        )
