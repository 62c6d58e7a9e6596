"""Print what waits, who works on it and what stands in the way."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.timesince import timesince

from outbox import api
from outbox.models import State


class Command(BaseCommand):
    help = (
        "Print the recipients by state, the oldest one that waits, the workers, whether the "
        "broker answers, and every route that is closed."
    )
    requires_system_checks = ()  # it must answer most of all where something is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")

    def handle(self, *args: Any, **options: Any) -> None:
        report = api.status()
        if options["json"]:
            described = dataclasses.asdict(report)
            self.stdout.write(json.dumps(described, cls=DjangoJSONEncoder, indent=2))
        else:
            for line in _lines(report, timezone.now()):
                self.stdout.write(line)


def _lines(report: api.StatusReport, now: datetime) -> Iterator[str]:
    for state in State:
        yield _line(str(state.label), f"{report.counts.get(state, 0):,}")
    yield ""
    yield _line("oldest waiting", _when(report.oldest_waiting_at, now) or "nothing waits")
    yield _line("broker", "seen" if report.broker_seen else "not seen; the sweep finds the mail")
    yield from _rows("workers", [_worker(worker, now) for worker in report.workers])
    yield from _rows("routes held", [_route(held, now) for held in report.routes_held])


def _rows(label: str, rows: list[str]) -> Iterator[str]:
    for number, row in enumerate(rows or ["none"]):
        yield _line(label if number == 0 else "", row)


def _line(label: str, text: str) -> str:
    return f"{label:<16}{text}".rstrip()


def _when(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    local = timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z")
    if moment > now:
        return f"{local}, in {timesince(now, moment)}"
    return f"{local}, {timesince(moment, now)} ago"


def _worker(worker: api.WorkerSeen, now: datetime) -> str:
    health = "alive" if worker.alive else "silent"
    return f"{worker.host}/{worker.pid} {health}, heartbeat {_when(worker.heartbeat_at, now)}"


def _route(held: api.RouteHeld, now: datetime) -> str:
    until = f" until {_when(held.until, now)}" if held.until else ""
    return f"{held.route} ({held.account}) held by its {held.rule}{until}: {held.reason}"
