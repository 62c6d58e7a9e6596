"""When the processes of each host last checked, swept, and were asked to sweep by Celery beat."""

import datetime as dt
import logging
import sys
import threading
import time
from typing import Any

from django.db.models import Q

from outbox import wakeup
from outbox.api.alarms.facts import host_name
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import HostCheck

logger = logging.getLogger(__name__)
SWEEP = "outbox.sweep"
_lock = threading.Lock()
_written_at: dict[str, float] = {}  # by column, on the monotonic clock of this process


def may_be_due() -> bool:
    """Return whether a check may be due, as far as this process knows. It needs no query."""
    interval = get_conf().alarm_interval
    return bool(interval) and _is_time("checked_at", interval)


def claim_check(using: str) -> bool:
    """Return whether no process of this host has checked for an interval. This one has swept."""
    interval = get_conf().alarm_interval
    now = database_now(using)
    hosts = HostCheck.objects.using(using)
    hosts.get_or_create(host=host_name())
    earlier = Q(checked_at=None) | Q(checked_at__lte=now - dt.timedelta(seconds=interval))
    is_due = hosts.filter(earlier, host=host_name()).update(checked_at=now, swept_at=now)
    return bool(is_due)


def record_beat(using: str) -> None:
    """Record that Celery beat has requested a sweep."""
    interval = get_conf().alarm_interval
    if not interval or not _is_time("beat_at", interval / 2):
        return
    try:
        now = database_now(using)
        HostCheck.objects.using(using).update_or_create(host=host_name(), defaults={"beat_at": now})
    except DATABASE_UNAVAILABLE as error:
        logger.warning("The request of Celery beat was not recorded: %s", error)


def record_measures(using: str, measures: dict[str, Any]) -> None:
    """Store the figures of this host."""
    hosts = HostCheck.objects.using(using)
    hosts.update_or_create(host=host_name(), defaults={"measures": measures})


def is_sweep_scheduled() -> bool:
    """Return whether Celery's configuration schedules the sweep."""
    if "celery" not in sys.modules:  # a project with an app imports it, and importing takes long
        return False
    schedule = wakeup.celery_app().conf.beat_schedule or {}
    return any(entry.get("task") == SWEEP for entry in schedule.values())


def _is_time(column: str, interval: float) -> bool:
    """Return whether this process wrote the column an interval ago, which needs no query."""
    with _lock:
        now = time.monotonic()
        if now - _written_at.get(column, -interval) < interval:
            return False
        _written_at[column] = now
        return True


def reset() -> None:
    """Forget what this process wrote, as a new process has written nothing."""
    _written_at.clear()
