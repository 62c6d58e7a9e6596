"""Times one sends a mail at, named as people name them, in the time zone of whoever asks."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

MORNING, EVENING = dt.time(9), dt.time(18)
MONDAY = 0


@dataclass(frozen=True, slots=True)
class Preset:
    """A time to send at, and the day it falls on counted from a given one."""

    name: str
    label: str | Promise
    time: dt.time
    days_from: Callable[[dt.date], int]

    def after(self, now: dt.datetime) -> dt.datetime:
        """Return the moment, in the zone of `now`; a clock that is set forward skips none."""
        day = now.date() + dt.timedelta(days=self.days_from(now.date()))
        return dt.datetime.combine(day, self.time, now.tzinfo)


def _to_monday(day: dt.date) -> int:
    return (MONDAY - day.weekday() - 1) % 7 + 1


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("evening", gettext_lazy("Today 18:00"), EVENING, lambda day: 0),
        Preset("tomorrow", gettext_lazy("Tomorrow 9:00"), MORNING, lambda day: 1),
        Preset("monday", gettext_lazy("Monday 9:00"), MORNING, _to_monday),
    )
}


def presets() -> list[Preset]:
    """Return what is still ahead."""
    now = timezone.localtime()
    return [preset for preset in PRESETS.values() if preset.after(now) > now]


def moment_of(name: str | None) -> dt.datetime | None:
    """Return when the preset of this name is, in the present time zone; None for any other."""
    preset = PRESETS.get(name or "")
    return preset.after(timezone.localtime()) if preset else None
