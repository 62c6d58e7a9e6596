"""Alarms with short limits, of a host with a live worker."""

import datetime as dt
from typing import Any

import pytest
from django.conf import LazySettings

from outbox.api.alarms import hosts
from outbox.db.clock import database_now
from outbox.models import AlarmKind, Worker

OFF = {
    "ALARM_WORKER_SILENT": 0,
    "ALARM_SWEEP_SILENT": 0,
    "ALARM_OLDEST_DUE": 0,
    "ALARM_BLOCKED_AFTER": 0,
    "ALARM_SERVER_DOWN": 0,
    "ALARM_UNCERTAIN_AFTER": 0,
    "ALARM_FAILURE_RATE": 0,
    "ALARM_CLOCK_SKEW": 0,
    "ALARM_DISK_FREE": 0,
    "ALARM_CLEAR_AFTER": 0,
}


@pytest.fixture(autouse=True)
def _no_condition(settings: LazySettings) -> None:
    """Every condition is off; a test turns on what it is about."""
    settings.OUTBOX = settings.OUTBOX | OFF
    hosts.reset()


def turn_on(settings: LazySettings, **given: Any) -> None:
    """Change settings of the outbox."""
    settings.OUTBOX = settings.OUTBOX | given


def ago(seconds: float) -> dt.datetime:
    """Return the time of the database this many seconds ago."""
    return database_now("default") - dt.timedelta(seconds=seconds)


def worker(*, heartbeat: float = 0, ended: bool = False) -> Worker:
    """Register a worker with its latest heartbeat this many seconds ago."""
    return Worker.objects.create(
        host="here",
        pid=1,
        started_at=ago(3600),
        heartbeat_at=ago(heartbeat),
        lease_until=ago(heartbeat - 30),
        ended_at=ago(heartbeat) if ended else None,
    )


def kinds(report: Any) -> list[AlarmKind]:
    """Return the kinds of the alarms of a report."""
    return [AlarmKind(one.alarm.kind) for one in report.alarms]
