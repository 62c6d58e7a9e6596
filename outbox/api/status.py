"""How the whole outbox is doing: for `outbox_status`, health checks and the admin."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min, Q

from outbox import bell
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.models import DUE, OPEN, Circuit, Destination, Folder, Recipient, State, Worker
from outbox.models.clock import database_now

_UNINDEXED = (State.HELD, State.UNCERTAIN)  # no index has them: they wait for no attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    host: str
    pid: int
    heartbeat_at: dt.datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedDestination:
    """A server that messages wait for, and the rule that blocks it."""

    destination: str
    account: str
    rule: str  # "circuit" or "limit"
    reason: str
    until: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """All numbers are of recipients."""

    counts: dict[str, int]  # by state: those that are not delivered yet; with totals, all
    overdue: int  # due, and taken by no worker
    oldest_overdue_at: dt.datetime | None  # since when the first of them is due
    next_due_at: dt.datetime | None  # of those that wait for a later time
    workers: list[WorkerSeen]
    broker_seen: bool
    blocked_destinations: list[BlockedDestination]


def status(*, totals: bool = False) -> StatusReport:
    """Ask the database and the broker. Raises what the database raises.

    Only what is not delivered yet is counted, by the indexes of the queue; with `totals` the whole
    table is read, to count final states too.
    """
    using = get_conf().database
    now = database_now(using)
    waiting = _waiting(now, using)
    return StatusReport(
        counts=_all_counts(using) if totals else _open_counts(waiting, using),
        overdue=sum(row["overdue"] for row in waiting if row["state"] in DUE),
        oldest_overdue_at=_earliest("oldest", waiting),
        next_due_at=_earliest("later", waiting),
        workers=_workers(now, using),
        broker_seen=bell.broker_seen(),
        blocked_destinations=_blocked_destinations(now, using),
    )


def _waiting(now: dt.datetime, using: str) -> list[Mapping[str, Any]]:
    """Count what waits for an attempt or has one under way, by state."""
    is_due, is_later = Q(next_attempt_at__lte=now), Q(next_attempt_at__gt=now)
    waiting = Recipient.objects.using(using).filter(next_attempt_at__isnull=False).order_by()
    return list(
        waiting.values("state").annotate(
            count=Count("pk"),
            overdue=Count("pk", filter=is_due),
            oldest=Min("next_attempt_at", filter=is_due),
            later=Min("next_attempt_at", filter=is_later),
        )
    )


def _earliest(name: str, waiting: Iterable[Mapping[str, Any]]) -> dt.datetime | None:
    moments = (row[name] for row in waiting if row["state"] in DUE)
    return min(filter(None, moments), default=None)


def _open_counts(waiting: Iterable[Mapping[str, Any]], using: str) -> dict[str, int]:
    in_open_folders = Recipient.objects.using(using).filter(
        state__in=_UNINDEXED, message__folder__in=(Folder.OUTBOX, Folder.SCHEDULED)
    )
    found = {row["state"]: row["count"] for row in waiting}
    found |= dict(in_open_folders.order_by().values_list("state").annotate(Count("pk")))
    return {one.value: found.get(one.value, 0) for one in OPEN}


def _all_counts(using: str) -> dict[str, int]:
    found = Recipient.objects.using(using).order_by().values_list("state").annotate(Count("pk"))
    return dict.fromkeys((state.value for state in State), 0) | dict(found)


def _workers(now: dt.datetime, using: str) -> list[WorkerSeen]:
    return [
        WorkerSeen(
            host=worker.host,
            pid=worker.pid,
            heartbeat_at=worker.heartbeat_at,
            alive=worker.lease_until > now,
        )
        for worker in Worker.objects.using(using).filter(ended_at=None).order_by("pk")
    ]


def _blocked_destinations(now: dt.datetime, using: str) -> list[BlockedDestination]:
    blocked = []
    for destination in Destination.objects.using(using).select_related("account").order_by("pk"):
        if destination.circuit != Circuit.CLOSED:
            rule, reason = "circuit", destination.circuit_reason
            until = destination.circuit_until
        elif is_paused(destination, now):
            rule, reason, until = "limit", destination.paused_reason, destination.paused_until
        else:
            continue
        blocked.append(
            BlockedDestination(
                destination=str(destination),
                account=str(destination.account),
                rule=rule,
                reason=reason,
                until=until,
            )
        )
    return blocked
