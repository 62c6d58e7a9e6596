"""Daily reports on TLS to the domains that ask for them (RFC 8460), made from the counts.

They are off until the site names its organization. One process asks the DNS, in a thread of its
own and outside transactions. The id of a report is its idempotency key: a day that is looked at
again sends nothing again.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from django.db import connections
from django.db.models import Sum

from outbox.api.accounts import account_named
from outbox.api.queueing import queue_ids
from outbox.api.rendering import Content, render_outgoing
from outbox.conf import get_conf
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
from outbox.models.transport_policy import day_of
from outbox.net.dns_lookup import Dns, LookupFailedError

logger = logging.getLogger(__name__)
COUNTS_KEPT_FOR = dt.timedelta(days=7)
_DAYS = 2  # days back that are reported: a site that was down for one catches up
_PERIOD = dt.timedelta(hours=3)
_TASK = "outbox.tls_reports"
_SECONDS = 20.0  # of the DNS lookup for one domain
_DAY = dt.timedelta(days=1)
_running = threading.Lock()  # locked by the thread of this process


def report_in_background(using: str) -> None:
    """Send what is due in a new thread, every few hours, unless one of this process does it."""
    if not _running.acquire(blocking=False):
        return
    is_started = False
    try:
        if LastRun.claim(_TASK, _PERIOD, using):
            threading.Thread(
                target=_run, args=[using], name="outbox-tls-reports", daemon=True
            ).start()
            is_started = True
    finally:
        if not is_started:
            _running.release()


def _run(using: str) -> None:
    try:
        forget_old(using)
        send_due(using)
    except DATABASE_UNAVAILABLE as error:
        logger.warning("The reports on TLS have to wait for the database: %s", error)
    except Exception:
        logger.exception("The reports on TLS have ended. This is repeated.")
    finally:
        try:
            connections.close_all()
        finally:
            _running.release()


def forget_old(using: str) -> None:
    """Delete counts that are no longer reported, and policies that have expired."""
    now = database_now(using)
    TlsCount.objects.using(using).filter(day__lt=now - COUNTS_KEPT_FOR)._raw_delete(using)
    delete_expired(now, using)


def send_due(using: str) -> int:
    """Queue the reports of the last days; return how many were due, with those queued before."""
    if not get_conf().tls_report_organization:
        return 0
    today = day_of(database_now(using))
    count = 0
    for back in range(_DAYS, 0, -1):
        day = today - back * _DAY
        rows = TlsCount.objects.using(using).filter(day=day).order_by("domain")
        for domain in list(rows.values_list("domain", flat=True).distinct()):
            try:
                count += _send(domain, day, using)
            except OutboxError as error:
                logger.warning("The report on TLS to %s was not queued: %s", domain, error)
    return count


def _send(domain: str, day: dt.datetime, using: str) -> bool:
    """Queue the report to one domain; return whether it wants one by email."""
    addresses = _addresses(domain)
    if not addresses:
        return False
    account = account_named(None)
    queue_report(compose(domain, day, account, using), account, addresses)
    return True


def _addresses(domain: str) -> list[Address]:
    """Return where reports about a domain go by email; none if the DNS does not respond."""
    try:
        texts = Dns(get_conf().dns_servers, seconds=_SECONDS).texts(f"_smtp._tls.{domain}")
    except LookupFailedError as error:
        logger.info("Nothing is known about reports on TLS to %s: %s", domain, error)
        return []
    found = []
    for uri in destinations(texts):
        try:
            if address := address_of(uri):
                found.append(parse_address(address))
        except AddressError:
            logger.info("Reports on TLS to %s are wanted at an invalid address.", domain)
    return found


def compose(domain: str, day: dt.datetime, account: Account, using: str) -> TlsReport:
    """Return the report about a domain and a day."""
    conf = get_conf()
    rows = TlsCount.objects.using(using).filter(day=day, domain=domain).order_by()
    counted = rows.values_list("policy_type", "result", "host").annotate(Sum("count"))
    return TlsReport(
        domain=domain,
        day=day.date(),
        organization=conf.tls_report_organization,
        contact=conf.tls_report_contact or account.identity.spec,
        submitter=account.identity.wire.rpartition("@")[2],
        policies=_policies(grouped(list(counted), _fields(domain, using))),
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
        idempotency_key=f"tls-report:{report.report_id}"[:255],
        auto_submitted=True,
    )
    queue_ids([replace(outgoing, envelope_sender="")])
