"""Time zones to choose from: one name for each place, by region, with its offset from UTC."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from outbox.api.times import format_offset
from outbox.web.person import known_zones

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
_TABLE = "zone.tab"  # one line for each zone of each country, without former names
_NAME = 2  # its third column

Choices = list[tuple[str, str]]


def zone_choices(stored: str = "") -> list[tuple[str | Promise, Choices]]:
    """Return the zones by region; a stored zone that is not listed stands first."""
    regions = _by_region(timezone.now().date())
    listed = {name for _region, zones in regions for name, _label in zones}
    other = [("UTC", "UTC")]
    if stored and stored not in listed and stored != "UTC":
        other.append((stored, zone_label(stored, timezone.now())))
    return [("UTC", other), *((REGIONS[region], zones) for region, zones in regions)]


def zone_label(name: str, at: dt.datetime) -> str:
    """Return the place and its offset, as in "New York (UTC−5)"."""
    place = name.partition("/")[2] or name
    offset = format_offset(at.astimezone(zoneinfo.ZoneInfo(name)))
    return f"{place.replace('_', ' ').replace('/', ', ')} ({offset})"


@lru_cache(maxsize=2)
def _by_region(day: dt.date) -> list[tuple[str, Choices]]:
    """Return the choices of a day: offsets change with summer time."""
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    regions: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for name in sorted(_listed()):
        region = name.partition("/")[0]
        if region in regions:
            regions[region].append((name, zone_label(name, noon)))
    return [(region, zones) for region, zones in regions.items() if zones]


def _listed() -> frozenset[str]:
    """Return the zones of the database's table, or every known name where there is no table."""
    lines = next(_tables(), "").splitlines()
    named = {line.split("\t")[_NAME] for line in lines if line and not line.startswith("#")}
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
