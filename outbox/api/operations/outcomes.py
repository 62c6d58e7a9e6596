"""Outcomes over time, and failures by server reply, from the counts of outcomes."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Func, Max, Min, Q, Sum
from django.db.models.sql.compiler import SQLCompiler

from outbox.api.operations.present import Present
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.mail.server_replies import FailureKind
from outbox.models import DeliveryCount, DeliveryTotal, ReplyGroup, State
from outbox.reasons import Reason, ReasonCode, without_arguments

POINTS_MAX = 150  # intervals of one chart
GROUPS_MAX = 100
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MINUTE = dt.timedelta(minutes=1)
_STEPS = (1, 5, 15, 60, 360, 1440)  # minutes
_FAILED = (State.FAILED, State.EXPIRED)  # no further attempt follows
_COLUMNS = (
    ("failed", _FAILED),
    ("bounced", (State.BOUNCED,)),
    ("deferred", (State.DEFERRED,)),
    ("uncertain", (State.UNCERTAIN,)),
)
_DETAILED = dt.timedelta(days=2)  # older counts are of whole hours


@dataclass(frozen=True, slots=True)
class Interval:
    """The outcomes of recipients within an interval that begins at `at`."""

    at: dt.datetime
    sent: int = 0
    failed: int = 0  # failed or expired
    deferred: int = 0  # attempts that another one follows
    uncertain: int = 0
    bounced: int = 0  # sent earlier, also before the interval


@dataclass(frozen=True, slots=True)
class FailureRate:
    """How many recipients failed among those whose delivery ended.

    This is the only definition: charts, the alarm and the metrics share it. A recipient that
    bounced was sent to before, perhaps before the time that is looked at.
    """

    sent: int
    failed: int
    bounced: int = 0

    @property
    def failures(self) -> int:
        """The recipients that failed, expired or bounced."""
        return self.failed + self.bounced

    @property
    def ended(self) -> int:
        """The recipients whose delivery ended. One that bounced is among those sent to."""
        return max(self.sent + self.failed, self.failures)

    @property
    def share(self) -> float | None:
        """The share of failures, from 0 to 1; None if no delivery ended."""
        return self.failures / self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class ReplyFailures:
    """The failures of one reply group. `first_at` and `last_at` are exact to a minute or an hour.

    `code` is None for failures without a reply; their `text` is the reason in the reader's words.
    """

    key: int
    code: int | None
    enhanced: str
    text: str
    reason_code: str  # of failures without a reply, or empty
    kind: FailureKind
    failed: int  # recipients that failed or expired
    bounced: int
    deferred: int  # attempts that another one follows
    uncertain: int
    first_at: dt.datetime
    last_at: dt.datetime

    @property
    def has_attempts(self) -> bool:
        """Whether attempts ended so, which the messages and the attempts show."""
        return self.count > self.bounced

    @property
    def count(self) -> int:
        """The number of attempts that ended so, one for each recipient, and of bounces."""
        return self.failed + self.bounced + self.deferred + self.uncertain


def throughput(minutes: int, present: Present | None = None) -> list[Interval]:
    """Return the outcomes of the last minutes, oldest first, without gaps.

    The intervals are of one minute or longer, so that there are not too many. The last one has not
    ended.
    """
    present = present or Present()
    using, now = present.using, present.now
    step = dt.timedelta(minutes=_step(minutes))
    start = _floor(now - minutes * _MINUTE, step)
    found: dict[int, Counter[str]] = defaultdict(Counter)
    totals = DeliveryTotal.objects.using(using).filter(minute__gte=start).order_by()
    # The database adds up the minutes of an interval: ten thousand rows would take much longer.
    numbered = totals.annotate(number=_Number("minute", step=int(step.total_seconds())))
    for number, outcome, total in numbered.values_list("number", "outcome").annotate(Sum("count")):
        found[number][outcome] = total
    intervals = []
    while start <= now:
        intervals.append(_interval(start, found[(start - _EPOCH) // step]))
        start += step
    return intervals


class _Number(Func):
    """The number of the interval of `step` seconds in which a time is, counted from the epoch."""

    template = "(EXTRACT(EPOCH FROM %(expressions)s)::bigint / %(step)s)"
    output_field = BigIntegerField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        template = "(CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / %(step)s)"
        return self.as_sql(compiler, connection, template=template, **context)


def _step(minutes: int) -> int:
    """Return the shortest step that needs no more than POINTS_MAX intervals."""
    is_detailed = minutes * _MINUTE <= _DETAILED - dt.timedelta(hours=1)
    steps = [step for step in _STEPS if is_detailed or step >= 60]  # noqa: PLR2004  # one hour
    return next((step for step in steps if minutes / step <= POINTS_MAX), _STEPS[-1])


def _floor(moment: dt.datetime, step: dt.timedelta) -> dt.datetime:
    return _EPOCH + (moment - _EPOCH) // step * step


def _interval(at: dt.datetime, found: Counter[str]) -> Interval:
    return Interval(
        at,
        sent=found[State.SENT],
        failed=sum(found[state] for state in _FAILED),
        deferred=found[State.DEFERRED],
        uncertain=found[State.UNCERTAIN],
        bounced=found[State.BOUNCED],
    )


def failure_rate(minutes: int) -> FailureRate:
    """Return how many recipients were sent to, failed and bounced in the last minutes."""
    using = get_conf().database
    since = _floor(database_now(using) - minutes * _MINUTE, _MINUTE)
    totals = (
        DeliveryTotal.objects.using(using)
        .filter(minute__gte=since)
        .aggregate(
            sent=Sum("count", filter=Q(outcome=State.SENT)),
            failed=Sum("count", filter=Q(outcome__in=_FAILED)),
            bounced=Sum("count", filter=Q(outcome=State.BOUNCED)),
        )
    )
    return FailureRate(**{name: total or 0 for name, total in totals.items()})


def failures_by_reply(since: dt.datetime, kind: FailureKind | None = None) -> list[ReplyFailures]:
    """Return the failures since a time by reply group, most frequent first, at most GROUPS_MAX."""
    using = get_conf().database
    since = _floor(since, _MINUTE)
    counts = DeliveryCount.objects.using(using).filter(~Q(reply_key=0), minute__gte=since)
    if kind is not None:
        of_kind = ReplyGroup.objects.using(using).filter(kind=kind.value)
        counts = counts.filter(reply_key__in=of_kind.values("pk"))
    found = list(
        counts.order_by()
        .values("reply_key")
        .annotate(
            total=Sum("count"),
            first_at=Min("minute"),
            last_at=Max("minute"),
            **{name: Sum("count", filter=Q(outcome__in=of), default=0) for name, of in _COLUMNS},
        )
        .order_by("-total", "reply_key")[:GROUPS_MAX]
    )
    groups = ReplyGroup.objects.using(using).in_bulk([row["reply_key"] for row in found])
    return [_failures(row, groups.get(row["reply_key"], ReplyGroup(code=0))) for row in found]


def _failures(row: Mapping[str, Any], group: ReplyGroup) -> ReplyFailures:
    return ReplyFailures(
        key=row["reply_key"],
        code=group.code or None,
        enhanced=group.enhanced,
        text=name_of_group(group),
        reason_code="" if group.code else group.text,
        kind=FailureKind(group.kind),
        **{name: row[name] for name, _ in _COLUMNS},
        first_at=row["first_at"],
        last_at=row["last_at"],
    )


def name_of_group(group: ReplyGroup) -> str:
    """Return the normalized reply, or the reason without its arguments in the reader's language."""
    if group.code:
        return group.text
    known = next((one for one in ReasonCode if one == group.text), None)
    if known is None:
        return in_words(Reason.load(group.text))
    return in_words(without_arguments(known))
