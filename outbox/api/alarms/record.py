"""Store what a check found: open alarms, keep those that are still found, and clear the others."""

import datetime as dt
from collections.abc import Sequence

from django.db import transaction

from outbox.api.alarms.conditions import Condition, Finding
from outbox.api.alarms.facts import Facts
from outbox.models import Alarm

_DELETED_AT_ONCE = 500


def record(condition: Condition, findings: Sequence[Finding], facts: Facts) -> list[Alarm]:
    """Store the findings of one condition and return their alarms."""
    found = {finding.key: finding for finding in findings}
    with transaction.atomic(using=facts.using):
        alarms = Alarm.objects.using(facts.using)
        kept = {
            alarm.key: alarm
            for alarm in alarms.open()
            .filter(kind=condition.kind)
            .select_for_update(no_key=True)
            .order_by("pk")
        }
        missing = [key for key in found if key not in kept]
        new = [
            Alarm(
                kind=condition.kind,
                key=key,
                severity=found[key].severity,
                arguments=found[key].arguments,
                since=facts.now,
                last_seen=facts.now,
            )
            for key in missing
        ]
        alarms.bulk_create(new, ignore_conflicts=True)  # another check may have opened it
        for key in found.keys() & kept.keys():
            alarm = kept[key]
            alarm.severity, alarm.arguments = found[key].severity, found[key].arguments
            alarm.last_seen = facts.now
            alarm.save(update_fields=["severity", "arguments", "last_seen"])
        _clear([alarm for key, alarm in kept.items() if key not in found], condition, facts)
        return list(alarms.open().filter(kind=condition.kind, key__in=found).order_by("pk"))


def _clear(gone: Sequence[Alarm], condition: Condition, facts: Facts) -> None:
    """Clear alarms whose condition has not been found for a while.

    Another host's alarm is that host's to clear, unless that host has stopped checking.
    """
    conf = facts.conf
    silent = facts.ago(max(60 * conf.alarm_interval, conf.alarm_clear_after))
    for alarm in gone:
        is_ours = not condition.is_of_host or alarm.key.partition(":")[0] == facts.host
        limit = facts.ago(conf.alarm_clear_after) if is_ours else silent
        if alarm.last_seen <= limit:
            alarm.cleared_at = facts.now
            alarm.save(update_fields=["cleared_at"])


def clear_disabled(enabled: Sequence[str], now: dt.datetime, using: str) -> None:
    """Clear alarms of conditions that were turned off since."""
    Alarm.objects.using(using).open().exclude(kind__in=enabled).update(cleared_at=now)


def delete_old(facts: Facts) -> None:
    """Delete alarms that were cleared a long time ago, up to a limit."""
    alarms = Alarm.objects.using(facts.using)
    old = alarms.filter(cleared_at__lte=facts.ago(facts.conf.alarm_retention))
    ids = list(old.order_by("cleared_at").values_list("pk", flat=True)[:_DELETED_AT_ONCE])
    alarms.filter(pk__in=ids).delete()
