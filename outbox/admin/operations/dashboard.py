"""What the dashboard shows, with the same number of queries for any number of rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from outbox.admin.operations.charts import Chart, stacked
from outbox.api import operations
from outbox.api.alarms.shown import ShownAlarm, format_duration, open_alarms
from outbox.api.operations.queue import RATE_MINUTES
from outbox.mail.server_replies import FailureKind
from outbox.models import Pause, State
from outbox.models.access import can_change_site

REFRESH_SECONDS = 10
# The page is rendered again at each refresh, for every operator who has it open.
DESTINATIONS_SHOWN = 50
REPLIES_SHOWN = 20  # of each kind of failure
PERIOD = "period"  # the parameter
_PERIODS: dict[str, tuple[int, str | Promise]] = {
    "hour": (60, _("Last hour")),
    "day": (24 * 60, _("Last 24 hours")),
    "week": (7 * 24 * 60, _("Last 7 days")),
}
_KINDS: dict[FailureKind, tuple[str | Promise, str | Promise]] = {
    FailureKind.RECIPIENT: (
        _("Recipient"),
        _("The mailbox is unknown, disabled or full. Only these failures may suppress an address."),
    ),
    FailureKind.CONTENT: (_("Content"), _("The server rejected what the message contains.")),
    FailureKind.INFRASTRUCTURE: (
        _("Infrastructure"),
        _("Login, blocklist, rate, policy, TLS or connection. The recipients are not at fault."),
    ),
    FailureKind.UNKNOWN: (_("Unknown"), _("No rule explains these replies.")),
}
_OUTCOMES = (
    ("good", State.SENT.label),
    ("wait", State.DEFERRED.label),
    ("unsure", State.UNCERTAIN.label),
    ("bad", State.FAILED.label),
    ("bounced", State.BOUNCED.label),
)


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An open alarm with the address of the page that shows more, or an empty one."""

    shown: ShownAlarm
    url: str


@dataclass(frozen=True, slots=True)
class FailuresOfKind:
    """The reply groups of one kind of failure."""

    title: str | Promise
    meaning: str | Promise
    groups: list[operations.ReplyFailures]

    @property
    def count(self) -> int:
        """Return how many attempts failed so."""
        return sum(group.count for group in self.groups)

    @property
    def shown(self) -> list[operations.ReplyFailures]:
        """Return the most frequent replies."""
        return self.groups[:REPLIES_SHOWN]


class Dashboard:
    """The figures of a period, read when the template asks for them."""

    refresh_seconds = REFRESH_SECONDS
    rate_minutes = RATE_MINUTES

    def __init__(self, request: HttpRequest) -> None:
        chosen = request.GET.get(PERIOD, "")
        self.period = chosen if chosen in _PERIODS else "hour"
        self._minutes, self.period_label = _PERIODS[self.period]
        self._present = operations.Present()
        self.can_change = can_change_site(request.user)
        self.can_view_alarms = request.user.has_perm("outbox.view_alarm")

    @property
    def periods(self) -> list[tuple[str, str | Promise]]:
        """Return the periods to choose from."""
        return [(name, label) for name, (_minutes, label) in _PERIODS.items()]

    @property
    def live_url(self) -> str:
        """Return the address of the part that refreshes itself."""
        return f"{reverse('admin:outbox_operations_live')}?{PERIOD}={self.period}"

    @property
    def now(self) -> dt.datetime:
        """Return the database's time."""
        return self._present.now

    @cached_property
    def alarms(self) -> list[AlarmRow]:
        """Return the open alarms, critical ones first."""
        if not self.can_view_alarms:
            return []
        return [AlarmRow(one, _address(one)) for one in open_alarms()]

    @property
    def pauses(self) -> list[Pause]:
        """Return the pauses that last, widest first."""
        return self._present.pauses

    @cached_property
    def queue(self) -> operations.Queue | None:
        """Return the snapshot of the queue, None before the first sweep."""
        return operations.queue(self._present)

    @property
    def backlog(self) -> str:
        """Return how long the first due recipient has been waiting."""
        return format_duration(int(self.queue.backlog_seconds)) if self.queue else ""

    @property
    def states(self) -> list[tuple[str, int]]:
        """Return how many recipients are in each open state."""
        counts = self.queue.by_state if self.queue else {}
        return [(state, counts[state]) for state in State.values if counts.get(state)]

    @cached_property
    def matrices(self) -> list[tuple[str | Promise, list[operations.AgeRow]]]:
        """Return the recipients by age, by provider and by domain."""
        if self.queue is None:
            return []
        both = ((_("By provider"), self.queue.by_provider), (_("By domain"), self.queue.by_domain))
        return [(title, rows) for title, rows in both if rows]

    @cached_property
    def forecast(self) -> operations.Forecast | None:
        """Return when nothing will be due."""
        return operations.drain_forecast(self._present)

    @property
    def is_drained(self) -> bool:
        """Return whether nothing is due, or nothing of what was due at the last snapshot."""
        forecast = self.forecast
        if forecast is None or forecast.finished_at is None:
            return False
        return not forecast.due or forecast.finished_at <= self.now

    @cached_property
    def intervals(self) -> list[operations.Interval]:
        """Return the outcomes over time."""
        return operations.throughput(self._minutes, self._present)

    @property
    def busy_intervals(self) -> list[operations.Interval]:
        """Return the intervals with outcomes, newest first, for the table."""
        return [one for one in reversed(self.intervals) if any(_values(one))]

    @property
    def step(self) -> str:
        """Return the length of an interval."""
        first, second = self.intervals[:2]
        return format_duration(int((second.at - first.at).total_seconds()))

    @cached_property
    def throughput_chart(self) -> Chart:
        """Return the outcomes as stacked bars."""
        return stacked(_OUTCOMES, [_values(one) for one in self.intervals], top_min=5)

    @cached_property
    def failure_chart(self) -> Chart:
        """Return the share of failures among the deliveries that ended, in percent."""
        rates = [operations.FailureRate(*_ended(one)) for one in self.intervals]
        rows = [[100 * (rate.share or 0)] for rate in rates]
        return stacked([("bad", _("failure rate"))], rows, top_min=5, top_max=100)

    @property
    def failure_share(self) -> str:
        """Return the failure rate of the whole period; empty if no delivery ended."""
        sums = (sum(column) for column in zip(*map(_ended, self.intervals), strict=True))
        share = operations.FailureRate(*sums).share
        return "" if share is None else f"{round(100 * share, 1):g}%"

    @cached_property
    def _destinations(self) -> list[operations.DestinationState]:
        return operations.destinations(DESTINATIONS_SHOWN + 1, self._present)

    @property
    def destinations(self) -> list[operations.DestinationState]:
        """Return the destinations, blocked ones first."""
        return self._destinations[:DESTINATIONS_SHOWN]

    @property
    def has_more_destinations(self) -> bool:
        """Return whether there are destinations that the page does not show."""
        return len(self._destinations) > DESTINATIONS_SHOWN

    @cached_property
    def failures(self) -> list[FailuresOfKind]:
        """Return the failures of the period by what they are about."""
        found = operations.failures_by_reply(self.now - dt.timedelta(minutes=self._minutes))
        return [
            FailuresOfKind(title, meaning, groups)
            for kind, (title, meaning) in _KINDS.items()
            if (groups := [one for one in found if one.kind == kind])
        ]

    @cached_property
    def unexplained(self) -> list[operations.UnexplainedBounces]:
        """Return the bounces of the period that no rule explains."""
        return operations.unexplained_bounces(self.now - dt.timedelta(minutes=self._minutes))

    @cached_property
    def workers(self) -> operations.Workers:
        """Return the workers, and what wakes them."""
        return operations.workers(self._present)


def _values(interval: operations.Interval) -> tuple[int, ...]:
    """Return the outcomes in the order of the bars."""
    return (
        interval.sent,
        interval.deferred,
        interval.uncertain,
        interval.failed,
        interval.bounced,
    )


def _ended(interval: operations.Interval) -> tuple[int, int, int]:
    return (interval.sent, interval.failed, interval.bounced)


def _address(alarm: ShownAlarm) -> str:
    if not alarm.page:
        return reverse("admin:outbox_alarm_change", args=[alarm.alarm.pk])
    address = reverse(alarm.page)
    return f"{address}?{alarm.query}" if alarm.query else address
