"""How the whole outbox is doing: for `outbox_status`, health checks and the admin."""

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, Min

from outbox import bell
from outbox.conf import get_conf
from outbox.delivery.route import is_paused
from outbox.models import DUE, Circuit, Destination, Recipient, State, Worker
from outbox.models.clock import database_now


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    host: str
    pid: int
    heartbeat_at: dt.datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHeld:
    """A route that mail waits for, and the rule that holds it."""

    route: str
    account: str
    rule: str  # "circuit" or "limit"
    reason: str
    until: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """`counts` holds open states only exactly as they are; final ones would need a full count."""

    counts: dict[str, int]
    oldest_waiting_at: dt.datetime | None
    workers: list[WorkerSeen]
    broker_seen: bool
    routes_held: list[RouteHeld]


def status() -> StatusReport:
    """Ask the database and the broker. Raises what the database raises."""
    using = get_conf().database
    now = database_now(using)
    recipients = Recipient.objects.using(using)
    found = recipients.order_by().values_list("state").annotate(Count("pk"))
    counts = dict.fromkeys((state.value for state in State), 0) | dict(found)
    due = recipients.filter(state__in=DUE, next_attempt_at__lte=now)
    oldest = due.aggregate(oldest=Min("next_attempt_at"))["oldest"]
    return StatusReport(
        counts=counts,
        oldest_waiting_at=oldest,
        workers=_workers(now, using),
        broker_seen=bell.broker_seen(),
        routes_held=_routes_held(now, using),
    )


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


def _routes_held(now: dt.datetime, using: str) -> list[RouteHeld]:
    held = []
    for route in Destination.objects.using(using).select_related("account").order_by("pk"):
        if route.circuit != Circuit.CLOSED:
            rule, reason, until = "circuit", route.circuit_reason, route.circuit_until
        elif is_paused(route, now):
            rule, reason, until = "limit", route.paused_reason, route.paused_until
        else:
            continue
        held.append(
            RouteHeld(
                route=str(route), account=str(route.account), rule=rule, reason=reason, until=until
            )
        )
    return held
