"""The stored checks of sender domains: requested by users, and repeated by the periodic work.

A worker asks the DNS, in a thread of its own. Pages only show what was found.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F, Q

from outbox import wakeup
from outbox.api.sender_domain import (
    check_domain,
    domain_of,
    envelope_domains,
    sends_for,
)
from outbox.conf import get_conf
from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import Account, DomainCheck, KeyState, LastRun, SigningKey, Worker
from outbox.models.access import can_view_accounts, viewable_accounts
from outbox.models.domain_check import DOMAINS_FOUND, HOST_CHECKS
from outbox.net.sender_domain import Finding, Level

logger = logging.getLogger(__name__)
DOMAINS_PER_HOUR = 30  # that one user can request
WAITS_FOR = dt.timedelta(minutes=1)  # a request that is older has no reader any more
PAUSE = dt.timedelta(seconds=10)  # between the end of a check and the next request
_KEPT_FOR = dt.timedelta(days=30)  # the result of a check that is not repeated
_RETRY_AFTER = dt.timedelta(minutes=10)  # a check that raised an exception
_CANDIDATES = 20  # due domains of which one is claimed: other processes claim at the same time
_TASK = "outbox.check_domains"
_WORST_LAST = (Level.OK, Level.WARNING, Level.UNKNOWN, Level.ERROR)
_background = BackgroundWork("outbox-domains", "Check of sender domains")


class CheckRunningError(Exception):
    """The user's last request has not ended yet, or the domain was checked a moment ago."""


class TooManyDomainsError(Exception):
    """The user has requested checks of many domains within an hour."""


def request_check(user: AbstractBaseUser, domain: str) -> None:
    """Request a check of a domain. Raise CheckRunningError and TooManyDomainsError."""
    using = get_conf().database
    with transaction.atomic(using=using):
        # Two requests of one user at the same time wait for each other.
        users = get_user_model()._default_manager.using(using)
        users.select_for_update(no_key=True).filter(pk=user.pk).first()
        now = database_now(using)
        rows = DomainCheck.objects.using(using)
        rows.filter(due_at=None, checked_at__lt=now - _KEPT_FOR).delete()
        own_or_same = Q(requested_by=user.pk) | Q(domain=domain)
        is_waiting = own_or_same & Q(requested_at__gt=now - WAITS_FOR)
        is_fresh = Q(domain=domain, checked_at__gt=now - PAUSE)
        if rows.filter(is_waiting | is_fresh).exists():
            raise CheckRunningError
        hour_ago = now - dt.timedelta(hours=1)
        others = rows.filter(requested_by=user.pk).exclude(domain=domain)
        if others.filter(Q(requested_at__gt=hour_ago) | Q(checked_at__gt=hour_ago)).count() >= (
            DOMAINS_PER_HOUR
        ):
            raise TooManyDomainsError
        rows.update_or_create(
            domain=domain,
            defaults={"requested_at": now, "requested_by_id": user.pk, "due_at": now},
        )
        wakeup.request_task(_TASK, using)  # if it is lost, the sweep finds the request


def find_check(domain: str) -> DomainCheck | None:
    """Return the stored check of a domain; None if there was none."""
    return DomainCheck.objects.using(get_conf().database).filter(pk=domain).first()


def why_waiting(check: DomainCheck | None) -> str:
    """Return why a requested check has no result: "running", "no worker", or "" if none waits."""
    using = get_conf().database
    now = database_now(using)
    if check is None or check.requested_at is None or check.requested_at <= now - WAITS_FOR:
        return ""
    workers = Worker.objects.using(using).filter(ended_at=None, lease_until__gt=now)
    return "running" if workers.exists() else "no worker"


def findings_for(user: AbstractBaseUser, check: DomainCheck) -> list[Finding]:
    """Return what the last check found, as far as the user may know it.

    A user may enter a sender address of any domain. So others' accounts, the site's DKIM keys and
    the addresses that it sends from are displayed only to staff who view accounts.
    """
    found = [Finding.load(stored) for stored in check.findings]
    own = envelope_domains(check.domain, viewable_accounts(user))
    found = [one for one in found if one.check != "ALIGN" or _is_about(one, {*own, check.domain})]
    return found if can_view_accounts(user) else [one for one in found if not _is_of_site(one)]


def _is_about(finding: Finding, domains: set[str]) -> bool:
    """Return whether a finding about alignment is about one of these envelope senders."""
    if "envelope" in finding.values:
        return finding.values["envelope"] in domains
    name = str(finding.values.get("name", "")).removeprefix("_dmarc.")  # of a lookup that failed
    return any(f".{domain}".endswith(f".{name}") for domain in domains)


def _is_of_site(finding: Finding) -> bool:
    """Return whether a finding names a DKIM key or a sending address of the site."""
    if finding.check == "SPF":
        return "address" in finding.values or (
            finding.publish is not None and " ip" in finding.publish.text
        )
    return finding.check in HOST_CHECKS or (finding.check == "DKIM" and "name" in finding.values)


def check_in_background(using: str) -> None:
    """Check the domains that are due in a new thread, unless one of this process does it."""

    def is_due() -> bool:
        _find_domains(using)
        return bool(_due(using).exists())

    _background.start(lambda: _check_all(using), claim=is_due)


def check_due(using: str, seconds: float = math.inf) -> int:
    """Check the domains that are due, one after the other; return how many there were.

    No check begins after so many seconds.
    """
    _find_domains(using)
    return _check_all(using, seconds)


def _check_all(using: str, seconds: float = math.inf) -> int:
    ends_at = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends_at and (domain := _claim(using)) is not None:
        try:
            _check(domain, using)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception:  # the other domains are checked
            logger.exception("The sender domain %s could not be checked. This is repeated.", domain)
            rows = DomainCheck.objects.using(using).filter(pk=domain)
            rows.update(due_at=database_now(using) + _RETRY_AFTER)
        count += 1
    return count


def _find_domains(using: str) -> None:
    """Store the domains of active accounts, and forget those that no account has any more."""
    seconds = get_conf().domain_check_interval
    if not seconds or not LastRun.claim(DOMAINS_FOUND, dt.timedelta(seconds=seconds), using):
        return
    accounts = Account.objects.using(using).filter(is_active=True).order_by()
    senders = accounts.values_list("from_address", flat=True).distinct()
    domains = {domain_of(address) for address in senders.iterator()} - {""}
    rows, now = DomainCheck.objects.using(using), database_now(using)
    stored = set(rows.values_list("pk", flat=True))
    new = [DomainCheck(domain=domain, due_at=now) for domain in sorted(domains - stored)]
    rows.bulk_create(new, ignore_conflicts=True)  # a user may have requested one
    rows.filter(due_at=None).update(due_at=now)  # they were checked only on request until now
    rows.filter(pk__in=stored - domains).delete()


def _due(using: str) -> Any:
    """Return the domains that are due: first those that users wait for."""
    due = DomainCheck.objects.using(using).filter(due_at__lte=database_now(using))
    return due.order_by(F("requested_at").asc(nulls_last=True), "due_at")


def _claim(using: str) -> str | None:
    """Return a domain that is due, which no other process checks then; None if there is none."""
    seconds = get_conf().domain_check_interval
    next_at = database_now(using) + dt.timedelta(seconds=seconds) if seconds else None
    for domain, due_at in _due(using).values_list("pk", "due_at")[:_CANDIDATES]:
        same = DomainCheck.objects.using(using).filter(pk=domain, due_at=due_at)
        if same.update(due_at=next_at):
            return str(domain)
    return None


def _check(domain: str, using: str) -> None:
    is_sent_from_here = _is_sent_from_here(domain, using)
    found = check_domain(domain, is_sent_from_here=is_sent_from_here).findings
    with transaction.atomic(using=using):
        row = DomainCheck.objects.using(using).select_for_update().filter(pk=domain).first()
        if row is None:  # no account has the domain any more
            return
        row.known, changes = changed(row.known, row.changes, found)
        # The DNS of a user's own domain is the user's concern, and would alarm staff at will.
        row.changes = changes if is_sent_from_here else {}
        row.findings = [finding.dump() for finding in found]
        if row.requested_at is None:  # this check does not count as one of the user's
            row.requested_by = None
        row.checked_at, row.requested_at = database_now(using), None
        fields = ["known", "changes", "findings", "checked_at", "requested_at", "requested_by"]
        row.save(update_fields=fields)


def _is_sent_from_here(domain: str, using: str) -> bool:
    """Return whether the site sends for a domain, and not only users through servers of theirs."""
    if domain in {one.lower() for one in get_conf().sender_domains}:
        return True
    keys = SigningKey.objects.using(using).filter(domain=domain, state=KeyState.ACTIVE)
    senders = Account.objects.using(using).for_apps().filter(sends_for(domain))
    return keys.exists() or senders.exists()


def changed(
    known: dict[str, Any], changes: dict[str, Any], found: list[Finding]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is known of each check, and which ones have become wrong.

    A check that the DNS did not fully respond to, and that has no error, is as it was.
    """
    now_known: dict[str, Any] = {}
    now_wrong: dict[str, Any] = {}
    for check in dict.fromkeys(finding.check for finding in found):
        worst = max(
            (finding for finding in found if finding.check == check),
            key=lambda finding: _WORST_LAST.index(finding.level),
        )
        before, change = known.get(check), changes.get(check)
        if worst.level == Level.UNKNOWN:
            now_known |= {check: before} if before else {}
            now_wrong |= {check: change} if change else {}
            continue
        now_known[check] = worst.dump()
        if worst.level == Level.ERROR and change:
            now_wrong[check] = change | {"after": worst.dump()}
        elif worst.level == Level.ERROR and before and before["level"] != Level.ERROR:
            now_wrong[check] = {"before": before, "after": worst.dump()}
    return now_known, now_wrong
