"""Times as every page writes them: one 24-hour clock, one date, one form of relative time.

`clock.js` has the same two forms for what changes while a page is open.
"""

import datetime as dt

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.db import clock

_HALF_MINUTE = 29.5
_TO_DAYS = 2 * 86_400 - 30 * 60  # shorter times are more useful in hours


def format_clock(moment: dt.datetime, *, seconds: bool = False) -> str:
    """Return the time of today, as in 14:20, or the date with it: Mon 30 Nov, 09:00."""
    local, now = timezone.localtime(moment), timezone.localtime(clock.now())
    time = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    if local.date() == now.date():
        return time
    return _joined(format_date(moment, year=local.year != now.year), time)


def format_date(moment: dt.datetime, *, year: bool) -> str:
    """Return the day of a moment in the current time zone, as in Mon 30 Nov."""
    wanted = pgettext("date format", "D j M Y") if year else pgettext("date format", "D j M")
    return date_format(timezone.localtime(moment), wanted)


def format_full(moment: dt.datetime) -> str:
    """Return a moment with year, seconds and offset: Mon 30 Nov 2026, 09:00:07 UTC+1."""
    local = timezone.localtime(moment)
    return _joined(format_date(moment, year=True), f"{local:%H:%M:%S} {format_offset(local)}")


def format_minute(moment: dt.datetime) -> str:
    """Return a moment with year and without seconds: Mon 30 Nov 2026, 09:00."""
    return _joined(format_date(moment, year=True), f"{timezone.localtime(moment):%H:%M}")


def format_offset(moment: dt.datetime) -> str:
    """Return the offset of a moment's zone: UTC, UTC+8, UTC−3:30.

    Abbreviations such as CST name several zones.
    """
    minutes = (moment.utcoffset() or dt.timedelta()) // dt.timedelta(minutes=1)
    if not minutes:
        return "UTC"
    sign = "+" if minutes > 0 else "−"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{sign}{hours}" + (f":{rest:02d}" if rest else "")


def format_relative(moment: dt.datetime, *, is_planned: bool = False) -> str:
    """Return a moment relative to now, rounded, in the words of Intl.RelativeTimeFormat.

    What was planned for a moment that has passed is late, and due now.
    """
    seconds = (moment - clock.now()).total_seconds()
    length = abs(seconds)
    if length < 1 or (is_planned and seconds < 0):
        return _("now")
    if length < 60 - 0.5:
        return _in_words("second", length, is_ahead=seconds > 0)
    if length < 3600 - _HALF_MINUTE:
        return _in_words("minute", length / 60, is_ahead=seconds > 0)
    if length < _TO_DAYS:
        return _in_words("hour", length / 3600, is_ahead=seconds > 0)
    return _in_words("day", length / 86_400, is_ahead=seconds > 0)


def _in_words(unit: str, length: float, *, is_ahead: bool) -> str:
    count = max(1, int(length + 0.5))
    match unit, is_ahead:
        case "second", True:
            text = ngettext("in %(count)d second", "in %(count)d seconds", count)
        case "second", False:
            text = ngettext("%(count)d second ago", "%(count)d seconds ago", count)
        case "minute", True:
            text = ngettext("in %(count)d minute", "in %(count)d minutes", count)
        case "minute", False:
            text = ngettext("%(count)d minute ago", "%(count)d minutes ago", count)
        case "hour", True:
            text = ngettext("in %(count)d hour", "in %(count)d hours", count)
        case "hour", False:
            text = ngettext("%(count)d hour ago", "%(count)d hours ago", count)
        case _, True:
            text = ngettext("in %(count)d day", "in %(count)d days", count)
        case _:
            text = ngettext("%(count)d day ago", "%(count)d days ago", count)
    return text % {"count": count}


def _joined(date: str, time: str) -> str:
    return pgettext("date and time", "%(date)s, %(time)s") % {"date": date, "time": time}
