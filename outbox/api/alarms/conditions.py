"""The conditions of the alarms: what is wrong, how severe it is, and what to do.

Each row of CONDITIONS has its threshold in the settings. The sentence and what to do are templates,
which are filled with the stored arguments when they are displayed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Min, Q

from outbox.api.alarms.facts import Facts, write_to_storage
from outbox.api.alarms.hosts import is_sweep_scheduled
from outbox.api.operations import failure_rate
from outbox.models import (
    DUE,
    MX_PREFIX,
    AlarmKind,
    Circuit,
    Destination,
    DomainCheck,
    HostCheck,
    LastRun,
    Message,
    PauseScope,
    Recipient,
    Severity,
    State,
    Status,
    TlsCount,
    Worker,
)
from outbox.models.domain_check import HOST_CHECKS
from outbox.models.pause import HasTag, pause_of, pauses_in_force
from outbox.models.transport_policy import REPORT_ACCEPTED, day_of, report_due_at
from outbox.texts import cause_of
from outbox.texts import gettext_noop as _

_SHOWN = 50  # destinations that have an alarm of their own
_COUNTED = 1_000  # messages
_SITES_MIN = 5  # MX sites of an account: some domains never have a working server
_REPORTED_FOR = dt.timedelta(days=2)  # before today: the days whose reports are sent
_CRITICAL_SHARE = 4  # free space below this part of the limit is critical


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong now."""

    arguments: dict[str, Any] = field(default_factory=dict)
    key: str = ""  # what it is about
    severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Condition:
    """A row of the table. A condition of a host is checked by that host only."""

    kind: AlarmKind
    setting: str  # the threshold; 0 turns the condition off
    sentence: str
    what_to_do: str
    find: Callable[[Facts, float], Iterator[Finding]]
    page: str = ""  # the page of the admin that shows more
    query: str = ""
    is_of_host: bool = False


def _no_worker(facts: Facts, limit: float) -> Iterator[Finding]:
    workers = Worker.objects.using(facts.using)
    if workers.filter(ended_at=None, lease_until__gt=facts.now).exists():
        return
    # The latest rows suffice, in a table that grows with each start of a worker.
    latest = max(workers.order_by("-pk").values_list("heartbeat_at", flat=True)[:100], default=None)
    if latest is None or latest <= facts.ago(limit):
        yield Finding()


def _no_sweep(facts: Facts, limit: float) -> Iterator[Finding]:
    latest = _latest(facts, "swept_at")
    if latest is not None and latest <= facts.ago(limit):
        yield Finding({"duration": _seconds(facts.now - latest)})


def _no_beat(facts: Facts, limit: float) -> Iterator[Finding]:
    latest = _latest(facts, "beat_at")
    if latest is None:  # only a project with a schedule needs beat
        swept_since = HostCheck.objects.using(facts.using).filter(swept_at__isnull=False)
        oldest = (
            Worker.objects.using(facts.using)
            .filter(ended_at=None)
            .aggregate(at=Min("started_at"))["at"]
        )
        is_expected = is_sweep_scheduled() and swept_since.exists()
        if not is_expected or oldest is None or oldest > facts.ago(limit):
            return
        latest = oldest
    if latest <= facts.ago(limit):
        yield Finding({"duration": _seconds(facts.now - latest)}, severity=Severity.WARNING)


def _latest(facts: Facts, column: str) -> dt.datetime | None:
    return max(
        HostCheck.objects.using(facts.using)
        .filter(**{f"{column}__isnull": False})
        .values_list(column, flat=True),
        default=None,
    )


def _oldest_due(facts: Facts, limit: float) -> Iterator[Finding]:
    """Yield the destination whose first message is due for the longest time.

    A destination that a circuit, a rate limit or a pause stops has other alarms, or works as
    configured.
    """
    late = {pk: at for pk, at in facts.waiting.items() if at <= facts.ago(limit)}
    rows = Destination.objects.using(facts.using).filter(pk__in=late).select_related("account")
    pauses = pauses_in_force(facts.using)
    delayed = [
        row for row in rows if not row.is_blocked(facts.now) and pause_of(row, pauses) is None
    ]
    tags = [pause.tag for pause in pauses if pause.scope == PauseScope.TAG]
    if tags:
        unpaused = {row.pk: _first_without(tags, row, facts.ago(limit)) for row in delayed}
        late = {pk: at for pk, at in unpaused.items() if at is not None}
        delayed = [row for row in delayed if row.pk in late]
    if delayed:
        worst = min(delayed, key=lambda row: late[row.pk])
        duration = _seconds(facts.now - late[worst.pk])
        yield Finding({"server": str(worst), "duration": duration, "limit": _whole(limit)})


def _first_without(
    tags: list[str], destination: Destination, before: dt.datetime
) -> dt.datetime | None:
    """Return when the first message became due that has none of the tags; None: after `before`.

    Workers postpone messages with a paused tag, so only those that no worker has seen are due.
    """
    found = Recipient.objects.using(destination._state.db).filter(
        destination=destination, next_attempt_at__lte=before, state__in=DUE
    )
    for tag in tags:
        found = found.exclude(HasTag("message__tags", tag))
    first: dt.datetime | None = found.order_by().aggregate(first=Min("next_attempt_at"))["first"]
    return first


def _account_blocked(facts: Facts, limit: float) -> Iterator[Finding]:
    needs_person = Q(circuit_needs_person=True, circuit_opened_at__lte=facts.ago(limit))
    for row in _open_circuits(facts, needs_person):
        yield _of_destination(row, facts)


def _server_down(facts: Facts, limit: float) -> Iterator[Finding]:
    waits = Q(circuit_needs_person=False, circuit_opened_at__lte=facts.ago(limit))
    # Of all the domains that messages go to, some always have no working server.
    waits &= ~Q(key__startswith=MX_PREFIX)
    for row in _open_circuits(facts, waits & Q(pk__in=facts.waiting)):
        yield _of_destination(row, facts)


def _sites_down(facts: Facts, limit: float) -> Iterator[Finding]:
    """Yield one finding for each account: perhaps its network blocks port 25."""
    rows = (
        Destination.objects.using(facts.using)
        .exclude(circuit=Circuit.CLOSED)
        .filter(
            Destination.fitting(),
            key__startswith=MX_PREFIX,
            circuit_opened_at__lte=facts.ago(limit),
            pk__in=facts.waiting,
        )
        .values("account", "account__name")
        .annotate(count=Count("pk"), since=Min("circuit_opened_at"))
        .filter(count__gte=_SITES_MIN)
        .order_by("account")
    )
    for row in rows:
        arguments = {
            "account": row["account__name"],
            "count": row["count"],
            "duration": _seconds(facts.now - row["since"]),
        }
        yield Finding(arguments, key=f"{MX_PREFIX}{row['account']}", severity=Severity.WARNING)


def _open_circuits(facts: Facts, condition: Q) -> Iterator[Destination]:
    rows = Destination.objects.using(facts.using).exclude(circuit=Circuit.CLOSED)
    rows = rows.filter(condition, Destination.fitting()).select_related("account")
    yield from rows.order_by("pk")[:_SHOWN]


def _of_destination(row: Destination, facts: Facts) -> Finding:
    since = row.circuit_opened_at or facts.now
    arguments = {
        "server": str(row),
        "account": row.account.name,
        "duration": _seconds(facts.now - since),
        "reason": row.circuit_reason.dump(),
    }
    is_of_user = row.account.owner_id is not None
    severity = Severity.WARNING if is_of_user else Severity.CRITICAL
    return Finding(arguments, key=str(row.pk), severity=severity)


def _failure_rate(facts: Facts, limit: float) -> Iterator[Finding]:
    conf = facts.conf
    rate = failure_rate(max(round(conf.alarm_failure_window / 60), 1))
    if rate.ended >= conf.alarm_failure_min and rate.failures >= limit * rate.ended:
        arguments = {
            "failed": rate.failures,
            "finished": rate.ended,
            "share": rate.share,
            "duration": _whole(conf.alarm_failure_window),
        }
        yield Finding(arguments, severity=Severity.WARNING)


def _uncertain(facts: Facts, limit: float) -> Iterator[Finding]:
    uncertain = Message.objects.using(facts.using).filter(status=Status.UNCERTAIN)
    ids = uncertain.order_by("pk").values_list("pk", flat=True)[:_COUNTED]
    rows = Recipient.objects.using(facts.using).filter(
        message__in=list(ids),
        state=State.UNCERTAIN,
        resend_at=None,  # no policy sends the message again
        last_attempt_at__lte=facts.ago(limit),
    )
    if count := rows.count():
        oldest = rows.aggregate(at=Min("last_attempt_at"))["at"]
        arguments = {"count": count, "duration": _seconds(facts.now - oldest)}
        yield Finding(arguments, severity=Severity.WARNING)


def _clock_skew(facts: Facts, limit: float) -> Iterator[Finding]:
    if abs(facts.clock_skew) > limit:
        arguments = {"host": facts.host, "difference": round(facts.clock_skew, 1), "limit": limit}
        yield Finding(arguments, key=facts.host, severity=Severity.WARNING)


def _disk_space(facts: Facts, limit: float) -> Iterator[Finding]:
    for volume in facts.volumes:
        if volume.free < limit:
            is_critical = volume.free < limit / _CRITICAL_SHARE
            yield Finding(
                {"host": facts.host, "path": volume.path, "free": volume.free, "least": int(limit)},
                key=f"{facts.host}:{volume.name}",
                severity=Severity.CRITICAL if is_critical else Severity.WARNING,
            )


def _storage(facts: Facts, _limit: float) -> Iterator[Finding]:
    try:
        write_to_storage()
    except Exception as error:  # noqa: BLE001  # each storage raises its own
        yield Finding({"host": facts.host, "cause": cause_of(error)}, key=facts.host)


def _sender_domain(facts: Facts, _limit: float) -> Iterator[Finding]:
    rows = DomainCheck.objects.using(facts.using).exclude(changes={})
    for row in rows.order_by("pk")[:_SHOWN]:
        for check, change in row.changes.items():
            domain = "" if check in HOST_CHECKS else row.domain  # every domain has found the same
            arguments = {"domain": domain, "check": check, **change}
            key = f"{domain}:{check}" if domain else check
            yield Finding(arguments, key=key, severity=Severity.WARNING)


def _tls_reports(facts: Facts, limit: float) -> Iterator[Finding]:
    """Yield one finding for all domains if none accepts its report.

    Some domains that ask for reports never accept them. A report that was accepted since those of
    a day could be sent shows that the site can connect, so that the others' servers are at fault.
    """
    since = day_of(facts.now) - _REPORTED_FOR
    accepted_at = LastRun.last(REPORT_ACCEPTED, facts.using)
    rows = TlsCount.objects.using(facts.using).filter(day__gte=since).exclude(post_failure="")
    found = rows.values_list("day", "domain", "post_failure").distinct()
    failed = {
        (day, domain): cause
        for day, domain, cause in found
        if accepted_at is None or accepted_at < report_due_at(day)
    }
    if len({domain for _, domain in failed}) >= limit:
        (_, domain), cause = max(failed.items())
        arguments = {"count": len(failed), "domain": domain, "cause": cause}
        yield Finding(arguments, severity=Severity.WARNING)


def _seconds(duration: dt.timedelta) -> int:
    return int(duration.total_seconds())


def _whole(number: float) -> int:
    return int(number)


CONDITIONS: tuple[Condition, ...] = (
    Condition(
        AlarmKind.NO_WORKER,
        "alarm_worker_silent",
        _("No worker is running. Nothing is delivered."),
        _("Start a Celery worker, or run “manage.py outbox_deliver”."),
        _no_worker,
        page="admin:outbox_worker_changelist",
    ),
    Condition(
        AlarmKind.NO_SWEEP,
        "alarm_sweep_silent",
        _(
            "No sweep for %(duration)s. Retries after a crash, expired messages and alarms are"
            " delayed."
        ),
        _("Check the log of the workers, and restart them."),
        _no_sweep,
        page="admin:outbox_worker_changelist",
    ),
    Condition(
        AlarmKind.NO_BEAT,
        "alarm_sweep_silent",
        _("Celery beat has requested no sweep for %(duration)s. Workers sweep by themselves."),
        _("Check that Celery beat and Redis are running."),
        _no_beat,
    ),
    Condition(
        AlarmKind.OLDEST_DUE,
        "alarm_oldest_due",
        _(
            "A message for %(server)s has been due for %(duration)s, and was not sent. The limit"
            " is %(limit)s."
        ),
        _("Check the workers: “manage.py outbox_status” lists them. Start more if all are busy."),
        _oldest_due,
        page="admin:outbox_destination_changelist",
    ),
    Condition(
        AlarmKind.ACCOUNT_BLOCKED,
        "alarm_blocked_after",
        _(
            "The account “%(account)s” has needed attention for %(duration)s. Its messages for"
            " %(server)s are waiting. %(reason)s"
        ),
        _("Fix the account, and select “Retry connection”."),
        _account_blocked,
        page="admin:outbox_destination_changelist",
        query="circuit=attention",
    ),
    Condition(
        AlarmKind.SERVER_DOWN,
        "alarm_server_down",
        _(
            "%(server)s has been unavailable for %(duration)s. Messages of the account"
            " “%(account)s” are waiting. %(reason)s"
        ),
        _("Check the server and the network. Delivery is retried automatically."),
        _server_down,
        page="admin:outbox_destination_changelist",
        query="circuit=open",
    ),
    Condition(
        AlarmKind.SITES_DOWN,
        "alarm_server_down",
        _(
            "Mail servers of recipients that the account “%(account)s” cannot connect to:"
            " %(count)s. The first one has been unavailable for %(duration)s."
        ),
        _("Check that port 25 to the outside is open. Delivery is retried automatically."),
        _sites_down,
        page="admin:outbox_destination_changelist",
        query="circuit=open",
    ),
    Condition(
        AlarmKind.FAILURE_RATE,
        "alarm_failure_rate",
        _(
            "%(share)s of the latest deliveries have failed: %(failed)s of %(finished)s recipients"
            " within %(duration)s."
        ),
        _("Compare the replies of the servers in the list of failed messages."),
        _failure_rate,
        page="admin:outbox_message_changelist",
        query="state=failures",
    ),
    Condition(
        AlarmKind.UNCERTAIN,
        "alarm_uncertain_after",
        _(
            "Uncertain recipients that are waiting for a decision: %(count)s. The first one has"
            " been waiting for %(duration)s."
        ),
        _("Select “Mark as sent” or “Retry delivery” on the pages of these messages."),
        _uncertain,
        page="admin:outbox_message_changelist",
        query="state=uncertain",
    ),
    Condition(
        AlarmKind.CLOCK_SKEW,
        "alarm_clock_skew",
        _(
            "The clock of %(host)s differs from the clock of the database by %(difference)s"
            " seconds. The limit is %(limit)s."
        ),
        _("Synchronize the clocks of both hosts with NTP."),
        _clock_skew,
        is_of_host=True,
    ),
    Condition(
        AlarmKind.DISK_SPACE,
        "alarm_disk_free",
        _("%(host)s has %(free)s of free space at %(path)s. The limit is %(least)s."),
        _("Add space, or delete what is not needed. A full disk stops sending."),
        _disk_space,
        is_of_host=True,
    ),
    Condition(
        AlarmKind.STORAGE,
        "alarm_disk_free",
        _("%(host)s cannot write to the storage for large messages: %(cause)s."),
        _("Check the storage and its permissions. Messages with large files cannot be queued."),
        _storage,
        is_of_host=True,
    ),
    Condition(
        AlarmKind.SENDER_DOMAIN,
        "alarm_sender_domain",
        _("The check “%(check)s” of %(domain)s has a new error. Before: %(before)s Now: %(after)s"),
        _(
            "Correct what the check found, then select “Check now” on the page “Sender domain” of"
            " an account. If a record has to be published, the page shows it."
        ),
        _sender_domain,
        page="admin:outbox_account_changelist",
    ),
    Condition(
        AlarmKind.TLS_REPORTS,
        "alarm_tls_reports",
        _(
            "TLS reports of the last days that the receiving servers did not accept: %(count)s."
            " The report to %(domain)s: %(cause)s"
        ),
        _("If many reports fail, check that the site can connect to external HTTPS servers."),
        _tls_reports,
    ),
)
CONDITION_OF = {str(condition.kind): condition for condition in CONDITIONS}
