"""Notify staff of alarms. The process that checks does it, so that no queue is needed.

An alarm is reported once when it opens, again while it stays open, when it becomes critical, and
once when it is cleared. All that is due on one channel is one notification. Its rows are claimed
first, so of two processes only one notifies. A failed notification is repeated by the next check.
"""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import translation

from outbox.api.alarms.channels import CHANNELS, Sender
from outbox.api.alarms.facts import Facts
from outbox.api.alarms.payload import Payload
from outbox.api.alarms.shown import in_order, shown
from outbox.models import Alarm, AlarmNotification, Channel, Severity
from outbox.reasons import NO_REASON, Reason

logger = logging.getLogger(__name__)
_AT_ONCE = 100  # alarms in one notification
_LEASE_MARGIN = 30.0  # seconds after the timeout, for the database


def notify(facts: Facts) -> None:
    """Report what is due on each channel that the settings name."""
    for channel, sender in CHANNELS.items():
        if not sender.is_configured(facts.conf):
            continue
        due = _claim(channel, facts)
        if due:
            _finish(due, _send(due, sender, facts), facts)


def _claim(channel: Channel, facts: Facts) -> list[AlarmNotification]:
    """Claim what this channel has to report. If this process dies, another one claims it later."""
    with transaction.atomic(using=facts.using):
        rows = AlarmNotification.objects.using(facts.using)
        known = rows.filter(channel=channel).values("alarm")
        unknown = Alarm.objects.using(facts.using).open().exclude(pk__in=known)
        new = [AlarmNotification(alarm=alarm, channel=channel) for alarm in unknown]
        rows.bulk_create(new, ignore_conflicts=True)
        unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=facts.now)
        due = rows.filter(unclaimed, _is_due(facts), channel=channel).order_by("pk")
        locked = due.select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:_AT_ONCE])
        lease = dt.timedelta(seconds=2 * facts.conf.alarm_timeout + _LEASE_MARGIN)
        rows.filter(pk__in=ids).update(claimed_until=facts.now + lease)
        return list(rows.filter(pk__in=ids).select_related("alarm"))


def _is_due(facts: Facts) -> Q:
    is_open = Q(alarm__cleared_at=None)
    is_new = Q(notified_at=None)
    is_old = Q(notified_at__lte=facts.ago(facts.conf.alarm_repeat))
    is_worse = Q(alarm__severity=Severity.CRITICAL) & ~Q(severity=Severity.CRITICAL)
    is_cleared = Q(alarm__cleared_at__isnull=False, notified_at__isnull=False)
    unreported = Q(clear_notified_at=None)
    return (is_open & (is_new | is_old | is_worse)) | (is_cleared & unreported)


def _send(due: Sequence[AlarmNotification], sender: Sender, facts: Facts) -> Reason:
    """Send one notification and return why it failed, or no reason."""
    alarms = in_order([row.alarm for row in due])
    with translation.override(settings.LANGUAGE_CODE):
        payload = Payload([shown(alarm) for alarm in alarms], facts.host, facts.now)
        return sender.send(payload, facts.conf)


def _finish(due: Sequence[AlarmNotification], failure: Reason, facts: Facts) -> None:
    rows = AlarmNotification.objects.using(facts.using)
    if failure:
        logger.warning("A notification of alarms by %s failed: %s", due[0].channel, failure)
        ids = [row.pk for row in due]
        rows.filter(pk__in=ids).update(claimed_until=None, failed_at=facts.now, failure=failure)
        return
    for row in due:
        reported: dict[str, Any] = {"clear_notified_at": facts.now}
        if row.alarm.cleared_at is None:
            reported = {"notified_at": facts.now, "severity": row.alarm.severity}
        rows.filter(pk=row.pk).update(
            claimed_until=None, failed_at=None, failure=NO_REASON, **reported
        )
