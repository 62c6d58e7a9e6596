"""The queue as the sweep saw it last, and how long it takes until nothing is due."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Sum
from django.utils.translation import gettext as _

from outbox.api.operations.present import Present
from outbox.delivery.snapshot import AGES, DOMAINS_SHOWN
from outbox.models import DeliveryTotal, State
from outbox.net.providers import provider_of

RATE_MINUTES = 10  # the forecast assumes the rate of these last whole minutes
_MINUTE = dt.timedelta(minutes=1)
_ENDED = (State.SENT, State.FAILED, State.EXPIRED)


@dataclass(frozen=True, slots=True)
class AgeRow:
    """A row of the matrix: how many recipients of a domain or provider wait for how long.

    `ages` has one number for each limit of `Queue.age_limits`, and one for older recipients. `name`
    is empty for all others together.
    """

    name: str
    ages: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many recipients wait."""
        return sum(self.ages)


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue at a time. All numbers count recipients.

    The matrices count the age since a recipient became due or was first tried. They leave out
    those that were scheduled for later.
    """

    at: dt.datetime
    depth: int  # waiting for an attempt, or being sent
    due: int
    oldest_due_at: dt.datetime | None
    by_state: dict[str, int]
    age_limits: tuple[int, ...]  # minutes
    by_domain: list[AgeRow]
    by_provider: list[AgeRow]  # of known providers; without the others
    # The states of waiting recipients and the matrices, of a queue that is too long to be counted.
    is_estimated: bool

    @property
    def backlog_seconds(self) -> float:
        """How long the first due recipient has been waiting for its attempt."""
        if self.oldest_due_at is None:
            return 0.0
        return max((self.at - self.oldest_due_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long it takes until nothing that is due now waits, by the stated assumption."""

    due: int
    per_minute: float
    finished_at: dt.datetime | None  # None: unknown, since no delivery ended
    assumption: str  # in the reader's language


def queue(present: Present | None = None) -> Queue | None:
    """Return the snapshot of the queue; None before the first sweep."""
    snapshot = (present or Present()).snapshot
    if snapshot is None or snapshot.at is None:
        return None
    rows = [AgeRow(name, tuple(ages)) for name, ages in snapshot.by_domain]
    return Queue(
        at=snapshot.at,
        depth=snapshot.depth,
        due=snapshot.due,
        oldest_due_at=snapshot.oldest_due_at,
        by_state=snapshot.by_state,
        age_limits=AGES,
        by_domain=_largest(rows),
        by_provider=_by_provider(rows),
        is_estimated=snapshot.one_in > 1,
    )


def _largest(rows: list[AgeRow]) -> list[AgeRow]:
    """Return the largest domains, and the sum of all others as the last row."""
    named = [row for row in rows if row.name]
    others = [*named[DOMAINS_SHOWN:], *(row for row in rows if not row.name)]
    return [*named[:DOMAINS_SHOWN], *([_sum("", others)] if others else [])]


def _by_provider(rows: Iterable[AgeRow]) -> list[AgeRow]:
    found: dict[str, list[AgeRow]] = defaultdict(list)
    for row in rows:
        provider = provider_of(row.name)
        if provider is not None:
            found[_(provider.name)].append(row)
    sums = [_sum(name, of_provider) for name, of_provider in found.items()]
    return sorted(sums, key=lambda row: -row.total)


def _sum(name: str, rows: Iterable[AgeRow]) -> AgeRow:
    return AgeRow(name, tuple(map(sum, zip(*(row.ages for row in rows), strict=True))))


def drain_forecast(present: Present | None = None) -> Forecast | None:
    """Return when the recipients that are due will be delivered; None before the first sweep."""
    present = present or Present()
    snapshot, now = present.snapshot, present.now
    if snapshot is None or snapshot.at is None:
        return None
    this_minute = now.replace(second=0, microsecond=0)
    ended = DeliveryTotal.objects.using(present.using).filter(
        minute__gte=this_minute - RATE_MINUTES * _MINUTE, minute__lt=this_minute
    )
    total = ended.filter(outcome__in=_ENDED).aggregate(total=Sum("count"))["total"] or 0
    per_minute = total / RATE_MINUTES
    values = {"minutes": RATE_MINUTES, "rate": f"{per_minute:,.0f}"}
    if not snapshot.due:
        return Forecast(0, per_minute, now, _("Nothing is due."))
    if not total:
        sentence = _("No delivery ended in the last %(minutes)d minutes, so there is no forecast.")
        return Forecast(snapshot.due, 0.0, None, sentence % values)
    sentence = _(
        "Assumes the rate of the last %(minutes)d minutes, %(rate)s recipients per minute, and that"
        " nothing is added or deferred."
    )
    left = dt.timedelta(minutes=snapshot.due / per_minute)
    return Forecast(snapshot.due, per_minute, snapshot.at + left, sentence % values)
