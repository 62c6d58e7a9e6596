"""Daily reports on TLS to the domains that ask for them (RFC 8460), made from the counts.

They are off until the site names its organization. One process asks the DNS, in a thread of its
own and outside transactions. The counts of a day and a domain are marked when its report is queued
and accepted at its `https:` URIs, so that the next pass neither asks the DNS nor sends it again. A
URI is tried for a day (RFC 8460 5.5).
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from django.db.models import Sum

from outbox.api.accounts import account_named
from outbox.api.queueing import queue_ids
from outbox.api.rendering import Content, render_outgoing
from outbox.api.tls_report_post import PostResult, post_report
from outbox.conf import get_conf
from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.sts_policies import delete_expired
from outbox.exceptions import OutboxError
from outbox.mail.addresses import Address, AddressError, parse_address
from outbox.mail.mime_writer import AttachmentPart
from outbox.mail.tls_report import (
    PolicyCounts,
    TlsReport,
    address_of,
    destinations,
    grouped,
)
from outbox.models import Account, LastRun, MtaStsPolicy, Origin, TlsCount
from outbox.models.transport_policy import POST_FAILURE_MAX, REPORT_ACCEPTED, day_of, report_due_at
from outbox.net.dns_lookup import Dns, LookupFailedError
from outbox.reasons import Reason

logger = logging.getLogger(__name__)
COUNTS_KEPT_FOR = dt.timedelta(days=7)
_DAYS = 2  # days back that are reported: a site that was down for one catches up
_RETRIED_FOR = dt.timedelta(days=1)  # a report to a URI, since it could be sent (RFC 8460 5.5)
_PERIOD = dt.timedelta(hours=3)
_PASS_SECONDS = 7_200.0  # less than the period, so that no other process begins before the end
_TASK = "outbox.tls_reports"
_SECONDS = 20.0  # of the DNS lookup for one domain
_DAY = dt.timedelta(days=1)
Counted: TypeAlias = tuple[str, str, str, int]  # policy type, result, server, count
# Domains whose reports this process could not send: the next pass begins with the other domains.
_failed: set[str] = set()
_background = BackgroundWork("outbox-tls-reports", "Sending of TLS reports")


def report_in_background(using: str) -> None:
    """Send what is due in a new thread, every few hours, unless one of this process does it."""
    _background.start(lambda: _report(using), claim=lambda: LastRun.claim(_TASK, _PERIOD, using))


def _report(using: str) -> None:
    forget_old(using)
    send_due(using)


def forget_old(using: str) -> None:
    """Delete counts that are no longer reported, and policies that have expired."""
    now = database_now(using)
    TlsCount.objects.using(using).filter(day__lt=now - COUNTS_KEPT_FOR)._raw_delete(using)
    delete_expired(now, using)


def send_due(using: str, now: dt.datetime | None = None, *, seconds: float = _PASS_SECONDS) -> int:
    """Send the reports of the last days that were not sent before; return how many.

    After so many seconds, the other reports are left to the next pass.
    """
    if not get_conf().tls_report_organization:
        return 0
    try:
        account = account_named(None)
    except OutboxError as error:
        logger.warning("No reports on TLS can be sent: %s", error)
        return 0
    ends_at = time.monotonic() + seconds
    now = now or database_now(using)
    found = [
        (domain, day, [row[1:] for row in rows])
        for day in _days(now)
        for domain, rows in groupby(_unreported(day, using), key=itemgetter(0))
    ]
    _failed.intersection_update([domain for domain, _, _ in found])
    found.sort(key=lambda one: one[0] in _failed)
    count = 0
    for domain, day, counted in found:
        if time.monotonic() >= ends_at:
            logger.warning("Reports on TLS are left to the next pass, since this one took long.")
            break
        _failed.add(domain)
        try:
            result = _send(domain, day, counted, account, using, now)
        except DATABASE_UNAVAILABLE:
            raise
        except OutboxError as error:
            logger.warning("The report on TLS to %s was not sent: %s", domain, error)
        except Exception:
            logger.exception("The report on TLS to %s was not sent.", domain)
        else:
            count += result is _Result.SENT
            if result is not _Result.FAILED:
                _failed.discard(domain)
    return count


def _days(now: dt.datetime) -> list[dt.datetime]:
    """Return the days whose reports can be sent."""
    days = (day_of(now) - back * _DAY for back in range(_DAYS, 0, -1))
    return [day for day in days if now >= report_due_at(day)]


def _unreported(day: dt.datetime, using: str) -> list[tuple[str, str, str, str, int]]:
    """Return the counts of a day by domain, without domains that need no report any more."""
    counts = TlsCount.objects.using(using).filter(day=day)
    done = counts.filter(is_reported=True).values("domain")
    rows = counts.exclude(domain__in=done).order_by("domain")
    return list(rows.values_list("domain", "policy_type", "result", "host").annotate(Sum("count")))


class _Result(Enum):
    """What became of the report to one domain."""

    SENT = "sent"
    NOT_NEEDED = "not needed"
    FAILED = "failed"


def _send(
    domain: str,
    day: dt.datetime,
    counted: Sequence[Counted],
    account: Account,
    using: str,
    now: dt.datetime,
) -> _Result:
    """Send the report to one domain, for a day also to `https:` URIs.

    If a URI does not accept it, the next pass repeats the POSTs. An email is queued once, and
    first: what fails about it must not make the next pass repeat POSTs that were accepted.
    """
    wanted = _wanted(domain)
    if wanted is None:
        return _Result.FAILED
    result = _Result.NOT_NEEDED
    uris = wanted.uris if now < report_due_at(day) + _RETRIED_FOR else []
    rows = TlsCount.objects.using(using).filter(day=day, domain=domain)
    if wanted.addresses or uris:
        report = compose(domain, day, counted, account, using)
        if wanted.addresses:
            queue_report(report, account, wanted.addresses)
            result = _Result.SENT
        if uris:
            if rows.filter(is_reported=True).exists():  # by another process, in the meantime
                return _Result.NOT_NEEDED
            posted = post_report(report, uris)
            rows.update(post_failure=_stored(posted.failure))
            if posted.accepted:
                LastRun.record(REPORT_ACCEPTED, now, using)
            if posted.result is PostResult.FAILED:
                return _Result.FAILED
            if posted.result is PostResult.ACCEPTED:
                result = _Result.SENT
    rows.update(is_reported=True)
    return result


def _stored(failure: Reason) -> str:
    """Return the stored form of a reason. Its texts are shortened until the column has room."""
    length = POST_FAILURE_MAX
    while True:
        stored = failure.map_texts(partial(_shortened, length=length)).dump()
        if len(stored) <= POST_FAILURE_MAX:
            return stored
        length = length * 3 // 4


def _shortened(text: str, *, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


class _Wanted(NamedTuple):
    """Where reports about a domain go."""

    addresses: list[Address]
    uris: list[str]  # https


def _wanted(domain: str) -> _Wanted | None:
    """Return where reports about a domain go; None if the DNS does not respond."""
    try:
        texts = Dns(get_conf().dns_servers, seconds=_SECONDS).texts(f"_smtp._tls.{domain}")
    except LookupFailedError as error:
        logger.info("Nothing is known about reports on TLS to %s: %s", domain, error)
        return None
    found = _Wanted([], [])
    for uri in destinations(texts):
        address = address_of(uri)
        if address is None:
            found.uris.append(uri)
            continue
        try:
            found.addresses.append(parse_address(address))
        except AddressError:
            logger.info("Reports on TLS to %s are wanted at an invalid address.", domain)
    return found


def compose(
    domain: str, day: dt.datetime, counted: Sequence[Counted], account: Account, using: str
) -> TlsReport:
    """Return the report about a domain and a day, made from its counts."""
    conf = get_conf()
    return TlsReport(
        domain=domain,
        day=day.date(),
        organization=conf.tls_report_organization,
        contact=conf.tls_report_contact or account.identity.spec,
        submitter=account.identity.wire.rpartition("@")[2],
        policies=_policies(grouped(counted, _fields(domain, using))),
    )


def _policies(found: tuple[PolicyCounts, ...]) -> tuple[PolicyCounts, ...]:
    """Return the policies, those that apply to more servers first."""
    return tuple(sorted(found, key=lambda one: one.policy_type == "no-policy-found"))


def _fields(domain: str, using: str) -> dict[str, Any]:
    """Return what is known about the MTA-STS policy of a domain, as a report contains it."""
    row = MtaStsPolicy.objects.using(using).filter(pk=domain).first()
    if row is None:
        return {}
    lines = [
        "version: STSv1",
        f"mode: {row.mode}",
        *(f"mx: {pattern}" for pattern in row.mx),
        f"max_age: {row.max_age}",
    ]
    return {"sts": {"policy_string": tuple(lines), "mx": tuple(row.mx)}}


def queue_report(report: TlsReport, account: Account, to: Collection[Address]) -> None:
    """Queue the email with a report (RFC 8460 5.3). Raise OutboxError.

    It is sent whatever the domain's policies say, since they may be what fails (RFC 8460 5.3).
    """
    day = report.day.isoformat()
    content = Content(
        account=account,
        to=list(to),
        subject=f"Report Domain: {report.domain} Submitter: {report.submitter} "
        f"Report-ID: <{report.report_id}>",
        text=(
            f"This is an aggregate TLS report from {report.organization} about the sessions with "
            f"the mail servers of {report.domain} on {day} (UTC).\n"
        ),
        files=[
            AttachmentPart(
                name=report.filename,
                content_type="application/tlsrpt+gzip",
                data=report.compressed(),
            )
        ],
        headers={
            "TLS-Report-Domain": report.domain,
            "TLS-Report-Submitter": report.submitter,
            "TLS-Required": "No",
        },
        report_type="tlsrpt",
    )
    outgoing = render_outgoing(
        content,
        origin=Origin.API,
        # Without the account: another default account sends no second report.
        idempotency_key=f"tls-report:{day}:{report.domain}"[:255],
        auto_submitted=True,
    )
    queue_ids([replace(outgoing, envelope_sender="")])
