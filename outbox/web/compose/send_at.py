"""The time at which a message is sent: presets, and a time typed in the user's time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from outbox.api.times import format_clock
from outbox.api.values import EARLIEST, LATEST
from outbox.db import clock

MORNING, EVENING = dt.time(9), dt.time(18)
MONDAY = 0
INPUT_FORMAT = "%Y-%m-%dT%H:%M"  # of <input type="datetime-local">


@dataclass(frozen=True, slots=True)
class Preset:
    """A named time to send at; `after` returns it, counted from a given moment."""

    name: str
    label: str | Promise
    after: Callable[[dt.datetime], dt.datetime]


@dataclass(frozen=True, slots=True)
class OfferedPreset:
    """A preset with its time, counted from now."""

    name: str
    label: str | Promise
    at: dt.datetime

    @property
    def day_and_time(self) -> str:
        """Return the date and the time, such as "Sun 29 Nov, 09:00"; of today, the time."""
        return format_clock(self.at)


def _at(time: dt.time, days_from: Callable[[dt.date], int]) -> Callable[[dt.datetime], dt.datetime]:
    """Return a function for a time of day, some days ahead, in the zone of `now`.

    Combining the date and the time keeps the wall clock's time across a change to summer time.
    """

    def after(now: dt.datetime) -> dt.datetime:
        day = now.date() + dt.timedelta(days=days_from(now.date()))
        return dt.datetime.combine(day, time, now.tzinfo)

    return after


def _in_an_hour(now: dt.datetime) -> dt.datetime:
    """Add an hour of real time, also where the wall clock is set forward or back."""
    then = (now.astimezone(dt.UTC) + dt.timedelta(hours=1)).astimezone(now.tzinfo)
    return then.replace(second=0, microsecond=0)


def _days_to_monday(day: dt.date) -> int:
    return (MONDAY - day.weekday() - 1) % 7 + 1


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("hour", gettext_lazy("In 1 hour"), _in_an_hour),
        Preset("evening", gettext_lazy("This evening"), _at(EVENING, lambda day: 0)),
        Preset("tomorrow", gettext_lazy("Tomorrow"), _at(MORNING, lambda day: 1)),
        Preset("monday", gettext_lazy("Next Monday"), _at(MORNING, _days_to_monday)),
    )
}


def offered_presets() -> list[OfferedPreset]:
    """Return the presets in the future; of two with the same time, the first."""
    now = timezone.localtime(clock.now())
    found: dict[dt.datetime, OfferedPreset] = {}
    for preset in PRESETS.values():
        at = preset.after(now)
        if at > now:
            found.setdefault(at, OfferedPreset(preset.name, preset.label, at))
    return list(found.values())


def preset_time(name: str | None) -> dt.datetime | None:
    """Return the time of the preset with this name in the current time zone, else None."""
    preset = PRESETS.get(name or "")
    return preset.after(timezone.localtime(clock.now())) if preset else None


def with_preset(data: QueryDict) -> QueryDict:
    """Return the form's data with the time of the preset that was pressed.

    A form that is displayed again has the time in its field, as if it had been typed.
    """
    at = preset_time(data.get("preset"))
    if at is None:
        return data
    data = data.copy()
    data["send_at"] = at.strftime(INPUT_FORMAT)
    return data


class SendAtField(forms.DateTimeField):
    """A time to send at, in the current time zone; the past is accepted, for drafts.

    When the clock is set back, an hour occurs twice. Its first occurrence is used while it is
    ahead, then the second: refusing the time would lose the schedule of a draft that has it.
    """

    widget = forms.DateTimeInput(format=INPUT_FORMAT, attrs={"type": "datetime-local"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(input_formats=[INPUT_FORMAT, f"{INPUT_FORMAT}:%S"], **kwargs)
        self.error_messages["invalid"] = gettext_lazy("Enter a valid date and time.")

    def to_python(self, value: Any) -> dt.datetime | None:
        try:
            moment = super().to_python(value)
        except OverflowError as error:  # year 1 or 9999, which other time zones cannot express
            raise self._invalid() from error
        except forms.ValidationError:
            moment = self._repeated(value)
            if moment is None:
                raise
        if moment is not None and not EARLIEST <= moment <= LATEST:
            raise self._invalid()
        return moment

    def _invalid(self) -> forms.ValidationError:
        return forms.ValidationError(self.error_messages["invalid"], code="invalid")

    def _repeated(self, value: Any) -> dt.datetime | None:
        """Return the moment of a time that occurs twice; None for any other."""
        try:
            naive = dt.datetime.strptime(str(value).strip()[:16], INPUT_FORMAT)  # noqa: DTZ007  # the zone follows
        except ValueError:
            return None
        zone = timezone.get_current_timezone()
        first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if first.utcoffset() <= second.utcoffset():  # type: ignore[operator]  # a zone has an offset
            return None  # skipped, or not a time that occurs twice
        moment = first if first > clock.now() else second
        return moment.astimezone(dt.UTC)  # a repeated time equals none in another zone (PEP 495)
