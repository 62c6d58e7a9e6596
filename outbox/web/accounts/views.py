"""List, add, change, test and remove the ways to send. A stored password never comes back."""

import datetime as dt
from collections.abc import Mapping
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox import api
from outbox.models import OPEN, Account, Folder, Recipient
from outbox.web.accounts import held, tested
from outbox.web.accounts.beginning import BeginForm, initial_for
from outbox.web.accounts.discovery import Suggestion, suggest
from outbox.web.accounts.forms import AccountForm
from outbox.web.home import start_of
from outbox.web.messages.conversation import read_lines
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_safe
def accounts(request: PersonRequest) -> HttpResponse:
    """List what the person owns and what they were given, and what holds the mail of each."""
    usable = list(Account.objects.usable_by(request.user).select_related("owner"))
    holds = held.holds_of(usable)
    listed = [(account, holds.get(account.pk, [])) for account in usable]
    context = {
        "owned": [(one, holds) for one, holds in listed if one.owner_id == request.user.pk],
        "given": [(one, holds) for one, holds in listed if one.owner_id != request.user.pk],
        "shows_holds": True,
        "page": "accounts",
    }
    return render(request, "outbox/accounts.html", context)


@sensitive_post_parameters("password")
@signed_in
@require_http_methods(["GET", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Ask for an address, then describe the account it belongs to.

    `?address=` brings the address along; an empty one means: nothing is to be looked up.
    """
    account = Account(owner=request.user)
    if request.method == "POST":
        return _save(request, account)
    if not request.GET.get("address", "by hand"):
        return _page(request, AccountForm(request.user, instance=account))
    begin = BeginForm(request.GET or None)
    if not begin.is_valid():
        return _begin(request, begin)
    address = begin.cleaned_data["address"]
    found = suggest(address)
    initial = initial_for(request.user, address, found)
    form = AccountForm(request.user, instance=account, initial=initial)
    if found is not None:
        form.fields["password"].widget.attrs["autofocus"] = True  # all that is missing
    return _page(request, form, found=found, domain=address.domain)


@sensitive_post_parameters("password")
@signed_in
@require_http_methods(["GET", "POST"])
def account(request: PersonRequest, pk: int) -> HttpResponse:
    """Change an account of one's own."""
    account = _own(request, pk)
    if request.method == "POST":
        return _save(request, account)
    return _page(request, AccountForm(request.user, instance=account))


@sensitive_post_parameters("password")
@signed_in
@require_POST
def probe(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    """Test the connection with the values in the form, saved or not; none of them is stored."""
    account = Account(owner=request.user) if pk is None else _own(request, pk)
    form = AccountForm(request.user, request.POST, instance=account)
    errors = form.server_errors
    secret = _typed_secret(form)
    report = None if errors else api.probe(form.instance, secret=secret)
    if report is not None and report.ok:
        tested.note_passed(request, form.instance, secret)
    context = {**_report(report), "server_errors": errors}
    if request.htmx:
        context |= {"account": account, "tested_at": _tested_at(account)}
        return render(request, "outbox/_probe.html", context)
    return _page(request, form, context=context)


@signed_in
@require_POST
def test_saved(request: PersonRequest, pk: int) -> HttpResponse:
    """Test the connection of a saved account, from the first page of a new user."""
    account = _own(request, pk)
    report = api.probe(account)
    if report.ok:
        tested.note_passed(request, account, None)
    if request.htmx:
        context = {**_report(report), "start": start_of(request.user)}
        return render(request, "outbox/_start.html", context)
    if not report.ok:
        return _page(request, AccountForm(request.user, instance=account), context=_report(report))
    messages.success(request, _("Connected. The server accepts messages from this account."))
    return redirect("outbox:list")


def _report(report: api.ProbeReport | None) -> dict[str, object]:
    return {"report": report, "lines": read_lines(report.transcript) if report else []}


def _tested_at(account: Account) -> dt.datetime | None:
    """Return when the stored account passed a test; values of the form may differ from it."""
    return Account.objects.filter(pk=account.pk).values_list("tested_at", flat=True).first()


@signed_in
@require_POST
def try_now(request: PersonRequest, pk: int) -> HttpResponse:
    """Let mail that a closed route holds be tried at once."""
    account = _own(request, pk)
    if held.try_now(account):
        messages.success(request, _("Waiting messages of this account are retried now."))
    else:
        messages.info(request, _("No message of this account was waiting."))
    return redirect("outbox:account", pk)


@signed_in
@require_http_methods(["GET", "POST"])
def remove(request: PersonRequest, pk: int) -> HttpResponse:
    """Ask, then delete the account; the mail sent with it stays."""
    account = _own(request, pk)
    if request.method == "POST":
        account.delete()
        messages.success(request, _("Account removed."))
        return redirect("outbox:accounts")
    waiting = Recipient.objects.filter(
        message__account=account,
        message__folder__in=(Folder.OUTBOX, Folder.SCHEDULED),  # no index has the account
        state__in=OPEN,
    )
    context = {
        "account": account,
        "waiting": waiting.values("message").distinct().count(),
        "page": "accounts",
    }
    return render(request, "outbox/account_remove.html", context)


def _own(request: PersonRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)


def _begin(request: PersonRequest, form: BeginForm) -> HttpResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"form": form, "page": "accounts"}
    return render(request, "outbox/account_begin.html", context, status=status)


def _page(
    request: PersonRequest,
    form: AccountForm,
    *,
    found: Suggestion | None = None,
    domain: str = "",
    context: Mapping[str, object] | None = None,
) -> HttpResponse:
    account = form.instance
    shown = {
        **(context or {}),
        "form": form,
        "account": account,
        "found": found,
        "domain": domain,
        "tested_at": account.tested_at,
        "holds": held.holds_of([account]).get(account.pk, []) if account.pk else [],
        "page": "accounts",
    }
    # A test leaves the form's gaps alone: it is about the server only.
    wrong = form.errors and not context
    status = HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK
    return render(request, "outbox/account.html", shown, status=status)


def _save(request: PersonRequest, account: Account) -> HttpResponse:
    before = tested.fingerprint(account)
    form = AccountForm(request.user, request.POST, instance=account)
    if not form.is_valid():
        return _page(request, form)
    if (secret := _typed_secret(form)) is not None:
        account.secret = secret
    tested.judge_saved(request, account, before=before)
    account.save()
    account.users.set(form.cleaned_data["shared_with"])
    account.groups.set(form.cleaned_data.get("groups", ()))
    messages.success(request, _("Account saved."))
    if tested.fingerprint(account) != before and held.try_now(account):
        messages.info(request, _("Waiting messages are retried now."))
    return redirect("outbox:account", account.pk)


def _typed_secret(form: AccountForm) -> str | None:
    """Return the password to use; None keeps the stored one."""
    if not form.cleaned_data.get("username"):
        return ""  # without a login there is nothing to keep a password for
    return form.cleaned_data.get("password") or None
