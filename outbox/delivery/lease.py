"""The lease of one worker process: registered, renewed, given up. Judged by the database's clock;
a local copy on the monotonic clock lets the worker stop before the database says so."""

import datetime as dt
import os
import socket
import time
from dataclasses import dataclass

from django.db import transaction

from outbox.conf import get_conf
from outbox.models import Slot, Worker
from outbox.models.clock import database_now


@dataclass(slots=True)
class Lease:
    """Held while `time.monotonic()` is before `until`; `lost` is for good."""

    worker_id: int
    until: float
    seen: dt.datetime  # the database's time …
    seen_at: float  # … no later than when `time.monotonic()` said this
    lost: bool = False
    workers_alive: int = 1

    @property
    def held(self) -> bool:
        """Tell whether a dot may still leave under it."""
        return not self.lost and time.monotonic() < self.until

    @property
    def now(self) -> dt.datetime:
        """The database's time, without asking it: this host's clock may be wrong or be set.

        Late by an answer's way at most, never early: what is due at it is due for a claim as well.
        """
        return self.seen + dt.timedelta(seconds=time.monotonic() - self.seen_at)


def register(version: str, using: str) -> Lease:
    """Make this process known as a worker."""
    conf = get_conf()
    asked_at = time.monotonic()
    now, seen_at = database_now(using), time.monotonic()
    worker = Worker.objects.using(using).create(
        host=socket.gethostname()[:255],
        pid=os.getpid(),
        version=version,
        started_at=now,
        heartbeat_at=now,
        lease_until=now + dt.timedelta(seconds=conf.lease_for),
    )
    lease = Lease(worker.pk, asked_at + conf.lease_for, seen=now, seen_at=seen_at)
    count_workers(lease, using)
    return lease


def count_workers(lease: Lease, using: str) -> None:
    """See how many share the work: one that came since the last heartbeat wants its part."""
    alive = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=lease.now)
    lease.workers_alive = alive.count()


def renew(lease: Lease, using: str) -> None:
    """Renew; once the database let it run out or swept it, it stays lost."""
    conf = get_conf()
    asked_at = time.monotonic()
    now, seen_at = database_now(using), time.monotonic()
    alive = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now)
    renewed = alive.filter(pk=lease.worker_id).update(
        heartbeat_at=now, lease_until=now + dt.timedelta(seconds=conf.lease_for)
    )
    if renewed:
        lease.until = asked_at + conf.lease_for
        lease.seen, lease.seen_at = now, seen_at
        count_workers(lease, using)
    else:
        lease.lost = True


def end(lease: Lease, using: str) -> None:
    """Say goodbye: the slots are free at once."""
    with transaction.atomic(using=using):
        Slot.objects.using(using).filter(worker_id=lease.worker_id).delete()
        Worker.objects.using(using).filter(pk=lease.worker_id, ended_at=None).update(
            ended_at=database_now(using)
        )
