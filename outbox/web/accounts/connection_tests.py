"""Test a connection: a worker makes the test, and the page asks for its result."""

from __future__ import annotations

import datetime as dt

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from outbox.api import connection_tests
from outbox.models import Account, ConnectionTest
from outbox.web.accounts import tested_connection
from outbox.web.accounts.forms import AccountForm
from outbox.web.accounts.other_login import other_login_text
from outbox.web.accounts.pages import account_page, typed_secret
from outbox.web.auth import UserRequest, signed_in
from outbox.web.first_steps import FirstSteps
from outbox.web.messages.conversation import read_lines

_WAITING: dict[str, str | Promise] = {
    "": gettext_lazy("Connecting to the server…"),
    "no worker": gettext_lazy("No worker is running. The test starts when a worker is running."),
    "not started": gettext_lazy("No worker has started the test yet."),
    "lost": gettext_lazy("The worker that made the test has ended. Test the connection again."),
}


@sensitive_post_parameters("password")
@signed_in
@require_POST
def check_connection(request: UserRequest, pk: int | None = None) -> HttpResponse:
    """Test the connection with the values in the form, which are not stored.

    Without scripts, the button below a test that runs posts its token to show the result.
    """
    account = Account(owner=request.user) if pk is None else _own(request, pk)
    form = AccountForm(request.user, request.POST, instance=account)
    errors = form.server_errors
    if token := request.POST.get("test", ""):
        context = _context(request, connection_tests.find_test(request.user, token))
    elif errors:
        context = {"server_errors": errors}
    else:
        context = _requested(request, form.instance, typed_secret(form))
    if request.htmx:
        return render(request, "outbox/_probe.html", context | {"account": account})
    return account_page(request, form, context=context)


@signed_in
@require_POST
def test_saved(request: UserRequest, pk: int) -> HttpResponse:
    """Test the connection of a saved account, from a new user's first page."""
    account = _own(request, pk)
    context = _requested(request, account, None)
    if request.htmx:
        context |= {"start": FirstSteps.of(request.user), "is_start": True}
        return render(request, "outbox/_first_steps.html", context)
    test = context.get("pending")
    query = f"?test={test.token}" if isinstance(test, ConnectionTest) else ""
    return redirect(account_address(account) + query)


@signed_in
@require_safe
def result(request: UserRequest, token: str) -> HttpResponse:
    """Return the result of a test, or that it still runs."""
    test = connection_tests.find_test(request.user, token)
    if test is None:
        raise Http404
    if test.is_of_mailbox:
        context = mailbox_context(test) | {"account_id": test.account_id}
        return render(request, "outbox/_mailbox_probe.html", context)
    context = _context(request, test)
    if "start" in request.GET:
        context |= {"start": FirstSteps.of(request.user), "is_start": True}
        return render(request, "outbox/_first_steps.html", context)
    return render(request, "outbox/_probe.html", context)


def result_on_page(request: UserRequest) -> dict[str, object]:
    """Return what the page of an account shows of the test in its address."""
    token = request.GET.get("test", "")
    return _context(request, connection_tests.find_test(request.user, token)) if token else {}


def account_address(account: Account) -> str:
    """Return the address of an account's page."""
    return redirect("outbox:account", account.pk)["Location"]


def _requested(request: UserRequest, account: Account, secret: str | None) -> dict[str, object]:
    """Request a test, and return what to show until it has a result."""
    fingerprint = tested_connection.fingerprint(account, secret)
    try:
        test = connection_tests.request_test(request.user, account, secret, fingerprint=fingerprint)
    except connection_tests.TestRunningError:
        return {"is_busy": True}
    return _context(request, test)


def _context(request: UserRequest, test: ConnectionTest | None) -> dict[str, object]:
    if test is None or test.is_of_mailbox:
        return {}
    report = connection_tests.report_of(test)
    if report is None:
        why = connection_tests.why_waiting(test)
        return {"pending": test, "waiting": _WAITING[why], "is_lost": why == "lost"}
    if report.ok:
        tested_connection.record_success(request, test)
    return {
        "report": report,
        "other_login": other_login_text(test.account, report),
        "lines": read_lines(report.transcript),
        "account": test.account,
        "tested_at": _tested_at(test.account),
    }


def mailbox_context(test: ConnectionTest | None) -> dict[str, object]:
    """Return what to show of the test of a mailbox."""
    if test is None or not test.is_of_mailbox:
        return {}
    report = connection_tests.report_of(test)
    if report is None:
        why = connection_tests.why_waiting(test)
        return {"pending": test, "waiting": _WAITING[why], "is_lost": why == "lost"}
    return {"report": report}


def _tested_at(account: Account | None) -> dt.datetime | None:
    """Return when the stored account passed a test; the form may have other values."""
    if account is None:
        return None
    return Account.objects.filter(pk=account.pk).values_list("tested_at", flat=True).first()


def _own(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
