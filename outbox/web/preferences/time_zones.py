"""The time zones to choose from, by region, each with its offset from UTC."""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy, to_locale

import outbox
from outbox.api.times import format_offset
from outbox.db import clock
from outbox.web.auth import known_zones

REGIONS: dict[str, str | Promise] = {
    "Africa": pgettext_lazy("region", "Africa"),
    "America": pgettext_lazy("region", "America"),
    "Antarctica": pgettext_lazy("region", "Antarctica"),
    "Asia": pgettext_lazy("region", "Asia"),
    "Atlantic": pgettext_lazy("region", "Atlantic"),
    "Australia": pgettext_lazy("region", "Australia"),
    "Europe": pgettext_lazy("region", "Europe"),
    "Indian": pgettext_lazy("region", "Indian Ocean"),
    "Pacific": pgettext_lazy("region", "Pacific"),
}
LOCALES = Path(outbox.__file__).parent / "locale"
_TABLE = "zone.tab"  # one line for each zone of each country, without former names
_NAME_COLUMN = 2

Choices = list[tuple[str, str]]


def zone_choices(stored: str = "") -> list[tuple[str | Promise, Choices]]:
    """Return the zones by region; a stored zone that is not listed comes first."""
    regions = _by_region(clock.now().date(), translation.get_language())
    listed = {name for _region, zones in regions for name, _label in zones}
    other = [("UTC", "UTC")]
    if stored and stored not in listed and stored != "UTC":
        other.append((stored, zone_label(stored, clock.now())))
    return [("UTC", other), *((REGIONS[region], zones) for region, zones in regions)]


def zone_label(name: str, at: dt.datetime) -> str:
    """Return the place in the current language and its offset, as in "New York (UTC−5)"."""
    if name not in known_zones() or name == "UTC":
        return name
    place = _places(translation.get_language()).get(name)
    if place is None:
        place = (name.partition("/")[2] or name).replace("_", " ").replace("/", ", ")
    offset = format_offset(at.astimezone(zoneinfo.ZoneInfo(name)))
    return _("%(place)s (%(offset)s)") % {"place": place, "offset": offset}


def current_zone_label() -> str:
    """Return the label of the current time zone at present."""
    return zone_label(timezone.get_current_timezone_name(), clock.now())


@lru_cache(maxsize=8)
def _places(language: str | None) -> dict[str, str]:
    """Return the names of places in a language, which are empty in English."""
    path = LOCALES / to_locale(language or "") / "zones.json"
    found: dict[str, str] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


@lru_cache(maxsize=8)
def _by_region(day: dt.date, _language: str | None) -> list[tuple[str, Choices]]:
    """Return the choices of this day in the current language; offsets change with summer time."""
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    regions: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for name in sorted(_zone_names()):
        region = name.partition("/")[0]
        if region in regions:
            regions[region].append((name, zone_label(name, noon)))
    return [(region, zones) for region, zones in regions.items() if zones]


def _zone_names() -> frozenset[str]:
    """Return the zones of the system's table, or every known name if there is no table."""
    lines = next(_tables(), "").splitlines()
    named = {line.split("\t")[_NAME_COLUMN] for line in lines if line and not line.startswith("#")}
    return known_zones() & named or known_zones()


def _tables() -> Iterator[str]:
    for folder in zoneinfo.TZPATH:
        table = Path(folder) / _TABLE
        if table.is_file():
            yield table.read_text(encoding="utf-8")
    try:
        yield (resources.files("tzdata") / "zoneinfo" / _TABLE).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return
