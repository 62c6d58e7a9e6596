"""List, add, change and test the ways to send. A stored password never leaves the server."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox import api
from outbox.models import Account
from outbox.web.accounts.forms import AccountForm
from outbox.web.messages.conversation import read_lines
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_safe
def accounts(request: PersonRequest) -> HttpResponse:
    """List what the person owns and what they were given."""
    usable = Account.objects.usable_by(request.user).select_related("owner")
    context = {
        "owned": [account for account in usable if account.owner_id == request.user.pk],
        "given": [account for account in usable if account.owner_id != request.user.pk],
        "page": "accounts",
    }
    return render(request, "outbox/accounts.html", context)


@sensitive_post_parameters("password")
@signed_in
@require_http_methods(["GET", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Describe a new account."""
    return _edit(request, Account(owner=request.user))


@sensitive_post_parameters("password")
@signed_in
@require_http_methods(["GET", "POST"])
def account(request: PersonRequest, pk: int) -> HttpResponse:
    """Change an account of one's own."""
    return _edit(request, get_object_or_404(Account.objects.owned_by(request.user), pk=pk))


@sensitive_post_parameters("password")
@signed_in
@require_POST
def probe(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    """Test the connection with the values in the form, saved or not; nothing is stored."""
    if pk is None:
        account = Account(owner=request.user)
    else:
        account = get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
    form = AccountForm(request.user, request.POST, instance=account)
    errors = form.server_errors
    report = None if errors else api.probe(form.instance, secret=_typed_secret(form))
    context = {
        "form": form,
        "account": account,
        "report": report,
        "lines": read_lines(report.transcript) if report else [],
        "server_errors": errors,
    }
    if request.htmx:
        return render(request, "outbox/_probe.html", context)
    return render(request, "outbox/account.html", context | {"page": "accounts"})


def _edit(request: PersonRequest, account: Account) -> HttpResponse:
    if request.method == "POST":
        form = AccountForm(request.user, request.POST, instance=account)
        if form.is_valid():
            _save(form)
            messages.success(request, _("Account saved."))
            return redirect("outbox:account", form.instance.pk)
    else:
        form = AccountForm(request.user, instance=account)
    context = {"form": form, "account": account, "page": "accounts"}
    return render(request, "outbox/account.html", context, status=422 if form.errors else 200)


def _save(form: AccountForm) -> None:
    account = form.instance
    if (secret := _typed_secret(form)) is not None:
        account.secret = secret
    account.save()
    account.users.set(form.cleaned_data["shared_with"])
    account.groups.set(form.cleaned_data.get("groups", ()))


def _typed_secret(form: AccountForm) -> str | None:
    """Return the password to use; None keeps the stored one."""
    if not form.cleaned_data.get("username"):
        return ""  # without a login there is nothing to keep a password for
    return form.cleaned_data.get("password") or None
