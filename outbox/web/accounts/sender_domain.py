"""The page “Sender domain” of an account: the result of the last check, and a button to repeat it.

No view asks the DNS. A worker does, and the page asks for its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_POST, require_safe

from outbox.api import domain_checks
from outbox.api.sender_domain import domain_of
from outbox.models import Account
from outbox.models.access import can_view_accounts, viewable_accounts
from outbox.models.domain_check import CHECKS
from outbox.net.sender_domain import Finding, Level
from outbox.web.auth import UserRequest, signed_in

_WAITING: dict[str, Promise] = {
    "running": gettext_lazy("Checking the domain…"),
    "no worker": gettext_lazy("No worker is running. The check starts when a worker is running."),
}
_SETTINGS = {
    "PTR": "SENDING_ADDRESSES",
    "HELO": "SENDING_ADDRESSES",
    "DNSBL": "BLOCKLISTS",
    "PORT25": "PORT_25_SERVER",
}
_WORST_FIRST = (Level.ERROR, Level.UNKNOWN, Level.WARNING, Level.OK)
_LABELS = {
    Level.OK: pgettext_lazy("level of a check", "good"),
    Level.WARNING: pgettext_lazy("level of a check", "to improve"),
    Level.ERROR: pgettext_lazy("level of a check", "wrong"),
    Level.UNKNOWN: pgettext_lazy("level of a check", "unknown"),
}
_TONES = {
    Level.OK: ("good", "check"),
    Level.WARNING: ("wait", "alert"),
    Level.ERROR: ("bad", "close"),
    Level.UNKNOWN: ("quiet", "question"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one check, the worst first."""

    title: str
    findings: Sequence[Finding]

    @property
    def level(self) -> Level:
        return self.findings[0].level

    @property
    def label(self) -> Promise:
        return _LABELS[self.level]

    @property
    def tone(self) -> str:
        return _TONES[self.level][0]

    @property
    def icon(self) -> str:
        return _TONES[self.level][1]


@signed_in
@require_safe
def sender_domain(request: UserRequest, pk: int) -> HttpResponse:
    """Show what was last found about the domain of an account's sender address."""
    account = _viewable(request, pk)
    domain = domain_of(account.from_address)
    check = domain_checks.find_check(domain)
    findings = domain_checks.findings_for(request.user, check) if check is not None else []
    missing = [name for name in _SETTINGS if all(one.check != name for one in findings)]
    context = {
        "account": account,
        "is_own": account.owner_id is not None and account.owner_id == request.user.pk,
        "domain": domain,
        "check": check,
        "sections": list(_sections(findings)),
        "unchecked": [(_(CHECKS[name]), _SETTINGS[name]) for name in missing],
        "shows_unchecked": bool(findings) and can_view_accounts(request.user) and bool(missing),
        "waiting": _WAITING.get(domain_checks.why_waiting(check), ""),
        "page": "accounts",
    }
    name = "outbox/_sender_domain.html" if request.htmx else "outbox/sender_domain.html"
    return render(request, name, context)


@signed_in
@require_POST
def check_now(request: UserRequest, pk: int) -> HttpResponse:
    """Request a check, which a worker makes."""
    account = _viewable(request, pk)
    if domain := domain_of(account.from_address):
        try:
            domain_checks.request_check(request.user, domain)
        except domain_checks.CheckRunningError:
            messages.info(
                request, _("A check has not ended yet, or ended a moment ago. Wait a moment.")
            )
        except domain_checks.TooManyDomainsError:
            messages.warning(
                request, _("You have requested checks of many domains. Try again in an hour.")
            )
    return redirect("outbox:account-domain", pk)


def _sections(findings: Sequence[Finding]) -> list[Section]:
    found = []
    for name, title in CHECKS.items():
        of_check = [finding for finding in findings if finding.check == name]
        if of_check:
            of_check.sort(key=lambda finding: _WORST_FIRST.index(finding.level))
            found.append(Section(_(title), of_check))
    return found


def _viewable(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.filter(viewable_accounts(request.user)), pk=pk)
