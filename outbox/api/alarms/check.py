"""One check of all conditions: find, record, notify."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field

from outbox.api.alarms import hosts
from outbox.api.alarms.conditions import CONDITIONS, Condition
from outbox.api.alarms.facts import Facts
from outbox.api.alarms.notify import notify
from outbox.api.alarms.record import clear_disabled, delete_old, record
from outbox.api.alarms.shown import ShownAlarm, in_order, shown
from outbox.conf import get_conf
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import Alarm, AlarmNotification
from outbox.texts import cause_of

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CheckReport:
    """What a check found: alarms whose condition is true now, and what could not be checked."""

    alarms: list[ShownAlarm] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)  # kind of alarm → the error
    failed_notifications: dict[str, str] = field(default_factory=dict)  # channel → the reason


def check(using: str | None = None) -> CheckReport:
    """Check all conditions, record the alarms and notify staff. Raise what the database raises.

    Neither workers, nor beat, nor Redis have to run.
    """
    facts = Facts(using or get_conf().database)
    report = CheckReport()
    found: list[Alarm] = []
    enabled = [one for one in CONDITIONS if getattr(facts.conf, one.setting)]
    for condition in enabled:
        try:
            found += _check(condition, facts)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            logger.exception("The alarm “%s” could not be checked.", condition.kind)
            report.unchecked[condition.kind] = cause_of(error)
    clear_disabled([one.kind for one in enabled], facts.now, facts.using)
    hosts.record_measures(facts.using, _measures(facts))
    delete_old(facts)
    notify(facts)
    report.alarms = [shown(alarm) for alarm in in_order(found)]
    failed = AlarmNotification.objects.using(facts.using).filter(failed_at__isnull=False)
    report.failed_notifications = {one.channel: str(one.failure) for one in failed.order_by("pk")}
    return report


def _check(condition: Condition, facts: Facts) -> list[Alarm]:
    limit: float = getattr(facts.conf, condition.setting)
    findings = list(condition.find(facts, limit))
    return record(condition, findings, facts)


def _measures(facts: Facts) -> dict[str, float]:
    measures = {"clock_skew": facts.clock_skew}
    with contextlib.suppress(OSError):  # it has an alarm
        measures |= {f"{volume.name}_free": volume.free for volume in facts.volumes}
    return measures
