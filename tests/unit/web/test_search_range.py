"""How far a search looks from the density of what it has found."""

import datetime as dt
from dataclasses import dataclass

from django.db.models import Q

from outbox.web.folders.pagination import NEWEST_FIRST, OLDEST_FIRST
from outbox.web.search.results import ENOUGH, FARTHER, range_of

NOON = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


@dataclass
class Found:
    """A message with the time at which lists show it."""

    pk: int
    listed_at: dt.datetime


def found(step: dt.timedelta, count: int = ENOUGH) -> list[Found]:
    return [Found(number, NOON + number * step) for number in range(count)]


def test_the_range_lies_in_the_direction_of_the_order() -> None:
    further = 4 * MINUTE / ENOUGH * 5 * FARTHER
    older = range_of(found(-MINUTE), NEWEST_FIRST, ENOUGH + 5)
    assert older == Q(listed_at__gte=NOON - 4 * MINUTE - further)
    newer = range_of(found(MINUTE), OLDEST_FIRST, ENOUGH + 5)
    assert newer == Q(listed_at__lte=NOON + 4 * MINUTE + further)


def test_messages_of_one_moment_say_nothing_about_others() -> None:
    """Without this, the range has no bound in the direction of the order."""
    for order in (NEWEST_FIRST, OLDEST_FIRST):
        assert range_of(found(0 * MINUTE), order, ENOUGH + 5) is None


def test_a_few_messages_show_no_density() -> None:
    assert range_of(found(MINUTE, ENOUGH - 1), OLDEST_FIRST, ENOUGH + 5) is None
