"""Alarms as people read them: the sentence, and what to do, in the reader's language."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Value, When
from django.template.defaultfilters import filesizeformat
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext, pgettext

from outbox.api.alarms.conditions import CONDITION_OF, Condition
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.models import Alarm, Severity
from outbox.models.domain_check import CHECKS
from outbox.reasons import Reason
from outbox.texts import Translatable, fill, gettext_noop

_MINUTE = 60
_COMMA = re.compile(", |，")  # between hours and minutes
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class ShownAlarm:
    """One alarm with its texts."""

    alarm: Alarm
    sentence: str
    what_to_do: str
    page: str  # the name of the page of the admin that shows more, or empty
    query: str

    @property
    def is_critical(self) -> bool:
        """Return whether delivery is affected now."""
        return self.alarm.severity == Severity.CRITICAL

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for other programs."""
        alarm = self.alarm
        return {
            "kind": alarm.kind,
            "key": alarm.key,
            "severity": alarm.severity,
            "status": "cleared" if alarm.cleared_at else "open",
            "since": alarm.since.isoformat(),
            "cleared_at": alarm.cleared_at.isoformat() if alarm.cleared_at else None,
            "sentence": self.sentence,
            "what_to_do": self.what_to_do,
            "arguments": alarm.arguments,
        }


def open_alarms(using: str | None = None) -> list[ShownAlarm]:
    """Return the open alarms, critical ones first, then the oldest."""
    rank = Case(When(severity=Severity.CRITICAL, then=Value(0)), default=Value(1))
    alarms = Alarm.objects.using(using or get_conf().database).open()
    return [shown(alarm) for alarm in alarms.order_by(rank, "since", "pk")]


def in_order(alarms: Sequence[Alarm]) -> list[Alarm]:
    """Return the alarms, critical ones first, then the oldest."""
    return sorted(alarms, key=lambda one: (one.severity != Severity.CRITICAL, one.since, one.pk))


def shown(alarm: Alarm) -> ShownAlarm:
    """Return an alarm with its texts; that of a newer version shows its name and arguments."""
    condition = CONDITION_OF.get(alarm.kind)
    if condition is None:
        return ShownAlarm(alarm, f"{alarm} {alarm.arguments or ''}".strip(), "", "", "")
    return ShownAlarm(
        alarm,
        sentence=_filled(condition, alarm.arguments),
        what_to_do=gettext(condition.what_to_do),
        page=condition.page,
        query=condition.query,
    )


def _filled(condition: Condition, arguments: Mapping[str, Any]) -> str:
    values = {name: _value(name, value) for name, value in arguments.items()}
    return fill(condition.sentence, values, gettext).strip()


def _value(name: str, value: Any) -> Any:
    """Return an argument as people read it."""
    match name, value:
        case "duration" | "limit", int():
            return format_duration(value)
        case "free" | "least", int():
            return filesizeformat(value).replace("\xa0", " ")
        case "share", int() | float():
            return f"{value:.0%}"
        case ("reason" | "cause", str()) | ("before" | "after", dict()):
            # A cause may be a text of the system, which is shown as it is.
            is_text = isinstance(value, str)
            return in_words(Reason.load(value) if is_text else _finding(value))
        case "check" | "domain", str():
            return gettext(CHECKS.get(value, value) or gettext_noop("this site"))
    return value


def _finding(stored: dict[str, Any]) -> Translatable:
    from outbox.net.sender_domain import Finding  # imports dnspython; few alarms need it

    return Finding.load(stored)


def format_duration(seconds: int) -> str:
    """Return a duration, rounded down: 1 hour, 30 minutes.

    Django puts a comma between the parts in every language, which is wrong in Chinese.
    """
    if seconds < _MINUTE:
        text = ngettext("%(count)d second", "%(count)d seconds", seconds)
        return text % {"count": seconds}
    text = timesince(_EPOCH, _EPOCH + dt.timedelta(seconds=seconds)).replace("\xa0", " ")
    return _COMMA.sub(pgettext("between parts of a duration", ", "), text)
