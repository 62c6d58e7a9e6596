"""Print the number of waiting recipients, the workers, and the blocked destinations."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from outbox import api
from outbox.api.alarms.shown import format_duration
from outbox.db import clock
from outbox.management.output import OutboxCommand
from outbox.models import State


class Command(OutboxCommand):
    help = (
        "Print the open recipients by state, the overdue ones, the workers, whether the broker is "
        "available, the pauses, every blocked destination, and the progress of holding many "
        "recipients."
    )
    requires_system_checks = ()  # it is needed most if something is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")
        parser.add_argument(
            "--totals", action="store_true", help="count final states, too; reads the whole table"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        report = api.status(totals=options["totals"])
        if options["json"]:
            described = dataclasses.asdict(report)
            self.stdout.write(json.dumps(described, cls=DjangoJSONEncoder, indent=2))
        else:
            for line in _lines(report, clock.now()):
                self.stdout.write(line)


def _lines(report: api.StatusReport, now: datetime) -> Iterator[str]:
    yield "Recipients"
    for state, count in report.counts.items():
        yield _line(str(State(state).label), f"{count:,}")
    yield ""
    yield "Queue"
    yield _line("overdue", _overdue(report, now))
    yield _line("next due", _when(report.next_due_at, now) or "none")
    yield ""
    yield "Delivery"
    broker = "available" if report.broker_seen else "unavailable; the sweep finds due messages"
    yield _line("broker", broker)
    yield from _rows("workers", [_worker(worker, now) for worker in report.workers])
    if pauses := [_pause(one, now) for one in report.pauses]:
        yield from _rows("paused", pauses)
    blocked = [_blocked(one, now) for one in report.blocked_destinations]
    yield from _rows("blocked destinations", blocked)
    if holds := [_hold(one, now) for one in report.pending_holds]:
        yield from _rows("being held", holds)


def _overdue(report: api.StatusReport, now: datetime) -> str:
    if not report.overdue:
        return "0"
    return f"{report.overdue:,}, the first due {_when(report.oldest_overdue_at, now)}"


def _rows(label: str, rows: list[str]) -> Iterator[str]:
    for number, row in enumerate(rows or ["none"]):
        yield _line(label if number == 0 else "", row)


def _line(label: str, text: str) -> str:
    return f"  {label:<22}{text}".rstrip()


def _when(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    local = timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z")
    if moment > now:
        return f"{local}, in {_duration(now, moment)}"
    return f"{local}, {_duration(moment, now)} ago"


def _duration(start: datetime, end: datetime) -> str:
    return format_duration(int((end - start).total_seconds()))


def _worker(worker: api.WorkerSeen, now: datetime) -> str:
    health = "alive" if worker.alive else "silent"
    return f"{worker.host}/{worker.pid} {health}, heartbeat {_when(worker.heartbeat_at, now)}"


def _pause(one: api.PauseInForce, now: datetime) -> str:
    until = f" until {_when(one.until, now)}" if one.until else ""
    return f"{one.target}, since {_when(one.since, now)}{until}: {one.reason}"


def _blocked(one: api.BlockedDestination, now: datetime) -> str:
    until = f" until {_when(one.until, now)}" if one.until else ""
    return f"{one.destination} ({one.account}) blocked by its {one.rule}{until}: {one.reason}"


def _hold(one: api.HoldInProgress, now: datetime) -> str:
    since = _when(one.since, now)
    return f"{one.held:,} recipients so far ({one.account}), since {since}: {one.reason}"
