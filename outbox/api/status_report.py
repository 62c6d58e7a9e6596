"""The status of the whole outbox, for `outbox_status`, health checks and the admin."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min, Q

from outbox import wakeup
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import (
    DUE,
    OPEN,
    Circuit,
    Destination,
    PendingHold,
    Recipient,
    State,
    Worker,
)
from outbox.models.pause import pauses_in_force

_SILENT = 3  # heartbeats that an engine may miss before it counts as dead


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    host: str
    pid: int
    heartbeat_at: dt.datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedDestination:
    """A server to which nothing is sent at present, and the rule that blocks it."""

    destination: str
    account: str
    rule: str  # "circuit" or "limit"
    reason: str  # in English
    reason_code: str  # a `ReasonCode`
    until: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldInProgress:
    """Waiting recipients that are being held, since their author or account may not send."""

    account: str
    held: int  # recipients, so far
    reason: str  # in English
    since: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseInForce:
    """A pause that an operator made: delivery to its target has stopped."""

    target: str  # in English: everything, an account, a destination or a tag
    reason: str
    since: dt.datetime
    until: dt.datetime | None  # None: until it is ended


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """The numbers count recipients."""

    counts: dict[str, int]  # by state: what is not delivered yet; with `totals`, everything
    overdue: int  # due, and not claimed by a worker
    oldest_overdue_at: dt.datetime | None  # when the first of them became due
    next_due_at: dt.datetime | None  # the first time that is still ahead
    workers: list[WorkerSeen]
    broker_seen: bool
    pauses: list[PauseInForce]
    blocked_destinations: list[BlockedDestination]
    pending_holds: list[HoldInProgress]


def status(*, totals: bool = False) -> StatusReport:
    """Return the status, as the database and the broker show it. Raises what the database raises.

    Only what is not delivered yet is counted, by the indexes of the queue. With `totals` final
    states are counted too, which reads the whole table.
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
        broker_seen=wakeup.is_broker_reachable(),
        pauses=_pauses(using),
        blocked_destinations=_blocked_destinations(now, using),
        pending_holds=_pending_holds(using),
    )


def live_engines(host: str) -> int:
    """Return how many engines of a host sent a heartbeat within the last three intervals."""
    conf = get_conf()
    oldest = database_now(conf.database) - dt.timedelta(seconds=_SILENT * conf.heartbeat_interval)
    alive = Worker.objects.using(conf.database).filter(ended_at=None, heartbeat_at__gt=oldest)
    return alive.filter(host=host[: Worker.HOST_MAX]).count()


def _waiting(now: dt.datetime, using: str) -> list[Mapping[str, Any]]:
    """Count the recipients that wait for an attempt or are being sent to, by state."""
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
    stopped = Recipient.objects.using(using).stopped().order_by()
    found = {row["state"]: row["count"] for row in waiting}
    found |= dict(stopped.values_list("state").annotate(Count("pk")))
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


def _pauses(using: str) -> list[PauseInForce]:
    return [
        PauseInForce(target=str(one), reason=one.reason, since=one.created_at, until=one.until)
        for one in pauses_in_force(using)
    ]


def _pending_holds(using: str) -> list[HoldInProgress]:
    pending = PendingHold.objects.using(using).select_related("account").order_by("pk")
    return [
        HoldInProgress(
            account=str(one.account),
            held=one.held_count,
            reason=str(one.reason),
            since=one.started_at,
        )
        for one in pending
    ]


def _blocked_destinations(now: dt.datetime, using: str) -> list[BlockedDestination]:
    blocked = []
    rows = Destination.objects.using(using).select_related("account").order_by("pk")
    may_block = ~Q(circuit=Circuit.CLOSED) | Q(paused_until__gt=now)
    may_block |= Destination.is_suspended_at(now)
    for destination in rows.filter(may_block, Destination.fitting()):
        if destination.circuit != Circuit.CLOSED:
            rule, reason = "circuit", destination.circuit_reason
            until = destination.circuit_until
        elif destination.is_suspended(now):
            rule, reason, until = "limit", destination.limit_reason, destination.limit_until
        elif destination.is_paused(now):
            rule, reason, until = "limit", destination.paused_reason, destination.paused_until
        else:
            continue
        blocked.append(
            BlockedDestination(
                destination=str(destination),
                account=str(destination.account),
                rule=rule,
                reason=str(reason),
                reason_code=reason.code,
                until=until,
            )
        )
    return blocked
