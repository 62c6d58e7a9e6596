"""Check the health of the outbox, for cron, a monitoring system, a supervisor or a container."""

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.db import ProgrammingError

from outbox import api
from outbox.api.alarms.check import CheckReport, check
from outbox.api.alarms.database import clear_unavailable, report_unavailable
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.management.output import OutboxCommand
from outbox.texts import cause_of

OK, WARNING, CRITICAL, UNKNOWN = range(4)  # exit codes of Nagios's plugins
_NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


class Command(OutboxCommand):
    help = (
        "Check the conditions of all alarms, record them and notify staff. Exit with 0 if all is "
        "well, 1 for a warning, 2 for a critical alarm and 3 for a condition that could not be "
        "checked, as Nagios's plugins do. Neither workers, nor Celery beat, nor Redis are needed. "
        "With --engine, only check that the engine of this host lives, by its heartbeat."
    )
    requires_system_checks = ()  # it runs every minute

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")
        parser.add_argument(
            "--engine",
            type=int,
            nargs="?",
            const=1,
            metavar="COUNT",
            help="only check that this host has so many live engines (default 1)",
        )
        parser.add_argument("--host", default=socket.gethostname(), help="default: this host")

    def handle(self, *args: Any, **options: Any) -> None:
        is_engine_only = options["engine"] is not None
        try:
            if is_engine_only:
                result = _check_engine(options["host"], options["engine"])
            else:
                result = _check_all()
        except (*DATABASE_UNAVAILABLE, ProgrammingError) as error:  # or it has no tables
            result = _database_unavailable(error, notifies=not is_engine_only)
        self._print(result, as_json=options["json"])
        if result["code"] != OK:
            sys.exit(result["code"])

    def _print(self, result: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(result, indent=2, ensure_ascii=False))
            return
        self.stdout.write(f"{_NAMES[result['code']]}: {result['summary']}")
        for line in result["lines"]:
            self.stdout.write(line)


def _result(code: int, summary: str, lines: Iterator[str] | None = None) -> dict[str, Any]:
    lines = lines or iter(())
    return {"code": code, "status": _NAMES[code], "summary": summary, "lines": list(lines)}


def _check_engine(host: str, wanted: int) -> dict[str, Any]:
    count = api.live_engines(host)
    if count < wanted:
        text = f"Live engines of {host}: {count}. It should have {wanted}."
        return _result(CRITICAL, text)
    return _result(OK, f"{host}: {count} live")


def _check_all() -> dict[str, Any]:
    report = check()
    clear_unavailable()
    described = [one.as_dict() for one in report.alarms]
    result = _result(_code(report), _summary(report), _lines(report))
    return result | {
        "alarms": described,
        "unchecked": report.unchecked,
        "failed_notifications": report.failed_notifications,
    }


def _code(report: CheckReport) -> int:
    if any(one.is_critical for one in report.alarms):
        return CRITICAL
    if report.unchecked:
        return UNKNOWN
    return WARNING if report.alarms or report.failed_notifications else OK


def _summary(report: CheckReport) -> str:
    critical = sum(one.is_critical for one in report.alarms)
    counts = {
        "critical": critical,
        "warning": len(report.alarms) - critical,
        "unchecked": len(report.unchecked),
        "failed notification": len(report.failed_notifications),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no alarm"


def _lines(report: CheckReport) -> Iterator[str]:
    for one in report.alarms:
        yield f"{one.alarm.severity}: {one.sentence} {one.what_to_do}"
    for kind, error in report.unchecked.items():
        yield f"unchecked: {kind}: {error}"
    for channel, reason in report.failed_notifications.items():
        yield f"failed notification ({channel}): {reason}"


def _database_unavailable(error: Exception, *, notifies: bool) -> dict[str, Any]:
    failures = report_unavailable(error) if notifies else {}
    lines = (f"failed notification ({channel}): {why}" for channel, why in failures.items())
    return _result(CRITICAL, f"The database is unavailable: {cause_of(error)}", lines)
