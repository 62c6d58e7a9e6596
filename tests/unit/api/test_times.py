"""One clock, one date and one form of relative time for every page."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from outbox.api.times import (
    format_clock,
    format_full,
    format_minute,
    format_offset,
    format_relative,
)

MINUTE, HOUR, DAY = 60, 3_600, 86_400
MOMENT = dt.datetime(2019, 11, 30, 9, 5, 7, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "now"),
        (-1.2, "1 second ago"),
        (-12.4, "12 seconds ago"),
        (59.6, "in 1 minute"),
        (4 * MINUTE - 1, "in 4 minutes"),
        (-200, "3 minutes ago"),
        (HOUR - 1, "in 1 hour"),
        (42 * HOUR, "in 42 hours"),
        (2 * DAY - 1, "in 2 days"),
        (5 * DAY - 1, "in 5 days"),
        (-5 * DAY - 1, "5 days ago"),
    ],
)
def test_relative_time_is_rounded(seconds: float, text: str) -> None:
    assert format_relative(timezone.now() + dt.timedelta(seconds=seconds + 0.05)) == text


def test_a_planned_time_that_has_passed_is_now() -> None:
    now = timezone.now()
    assert format_relative(now - dt.timedelta(minutes=3), is_planned=True) == "now"
    assert format_relative(now + dt.timedelta(minutes=3), is_planned=True) == "in 3 minutes"


def test_relative_time_in_chinese_has_a_space_after_digits() -> None:
    with translation.override("zh-hans"):
        assert format_relative(timezone.now() + dt.timedelta(minutes=6)) == "6 分钟后"


def test_time_of_today_has_no_date() -> None:
    noon = timezone.localtime().replace(hour=14, minute=20, second=56)
    assert format_clock(noon) == "14:20"
    assert format_clock(noon, seconds=True) == "14:20:56"


def test_time_of_another_day_of_this_year_has_weekday_and_day() -> None:
    now = timezone.localtime()
    other = now.replace(month=1 if now.month > 6 else 12, day=15, hour=9, minute=0)
    assert format_clock(other) == f"{other:%a} 15 {other:%b}, 09:00"


def test_time_of_another_year_has_the_year() -> None:
    assert format_clock(MOMENT) == "Sat 30 Nov 2019, 09:05"
    assert format_minute(MOMENT) == "Sat 30 Nov 2019, 09:05"


def test_times_are_in_the_current_zone_with_its_offset() -> None:
    with timezone.override("Asia/Shanghai"):
        assert format_full(MOMENT) == "Sat 30 Nov 2019, 17:05:07 UTC+8"
        with translation.override("zh-hans"):
            assert format_full(MOMENT) == "2019年11月30日 星期六 17:05:07 UTC+8"
            assert format_clock(MOMENT) == "2019年11月30日 星期六 17:05"


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("UTC", "UTC"),
        ("Asia/Shanghai", "UTC+8"),
        ("Asia/Kolkata", "UTC+5:30"),
        ("America/St_Johns", "UTC−3:30"),
    ],
)
def test_offset_of_a_zone(zone: str, offset: str) -> None:
    assert format_offset(MOMENT.astimezone(ZoneInfo(zone))) == offset
