"""The time zones that can be chosen: each place once, with its offset."""

import datetime as dt

import pytest
from django.utils import translation

from outbox.web.preferences.time_zones import zone_choices, zone_label

JULY = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
JANUARY = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def test_each_place_is_listed_once() -> None:
    places = [label.partition(" (")[0] for _region, zones in zone_choices() for _, label in zones]
    assert sorted(set(places)) == sorted(places)
    assert places.count("Istanbul") == 1


@pytest.mark.parametrize(
    "zone",
    [
        "UTC",
        "Europe/Berlin",
        "Europe/Stockholm",
        "Asia/Shanghai",
        "Asia/Kolkata",
        "America/New_York",
    ],
)
def test_zones_that_people_live_in_are_listed(zone: str) -> None:
    assert zone in [name for _region, zones in zone_choices() for name, _label in zones]


def test_places_of_a_region_are_sorted_by_name() -> None:
    europe = next(zones for region, zones in zone_choices() if region == "Europe")
    assert [name for name, _ in europe] == sorted(name for name, _ in europe)


def test_former_name_stays_selectable_for_its_user() -> None:
    _region, zones = zone_choices("Asia/Calcutta")[0]
    assert [name for name, _label in zones] == ["UTC", "Asia/Calcutta"]


@pytest.mark.parametrize(
    ("zone", "at", "label"),
    [
        ("America/New_York", JANUARY, "New York (UTC−5)"),
        ("America/New_York", JULY, "New York (UTC−4)"),
        ("Asia/Kolkata", JULY, "Kolkata (UTC+5:30)"),
        ("America/Argentina/Salta", JULY, "Argentina, Salta (UTC−3)"),
        ("Europe/London", JANUARY, "London (UTC)"),
        ("UTC", JULY, "UTC"),
    ],
)
def test_label_names_place_and_offset(zone: str, at: dt.datetime, label: str) -> None:
    assert zone_label(zone, at) == label


def test_places_are_named_in_the_language_of_the_user() -> None:
    with translation.override("zh-hans"):
        labels = {name: label for _region, zones in zone_choices() for name, label in zones}
    assert labels["America/New_York"].startswith("纽约（UTC")
    assert labels["Asia/Shanghai"] == "上海（UTC+8）"
    english = [label for label in labels.values() if label.partition("（")[0].isascii()]
    assert english == ["UTC"]
    assert "Shanghai (UTC+8)" in [label for _region, zones in zone_choices() for _, label in zones]
