"""List, add, edit, test and delete accounts. A stored password is never sent to the browser."""

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from outbox.api import audit, sharing
from outbox.api.account_removal import effects_of_removal, remove_account
from outbox.api.accounts import retry_connection
from outbox.api.mailboxes import fetch_with_new_login
from outbox.models import Account, AuditAction
from outbox.web.accounts import connection_tests, tested_connection
from outbox.web.accounts.blocked import BlockedDestination, blocked_by_account, can_retry
from outbox.web.accounts.discovery import suggest
from outbox.web.accounts.forms import AccountForm, AddressForm, initial_for
from outbox.web.accounts.pages import account_page, typed_secret
from outbox.web.auth import UserRequest, signed_in
from outbox.web.reauthentication import recently_authenticated_posts


@signed_in
@require_safe
def accounts(request: UserRequest) -> HttpResponse:
    """List the user's own accounts and shared ones, and what blocks their messages."""
    usable = list(request.preferences.usable_accounts(request.user))
    blocked = blocked_by_account(usable)
    listed = [_listed(account, blocked.get(account.pk, [])) for account in usable]
    context = {
        "owned": [row for row in listed if row[0].owner_id == request.user.pk],
        "shared": [row for row in listed if row[0].owner_id != request.user.pk],
        "invitations": Account.objects.inviting(request.user).select_related("owner"),
        "shows_blocked": True,
        "page": "accounts",
    }
    return render(request, "outbox/accounts.html", context)


def _listed(
    account: Account, blocked: list[BlockedDestination]
) -> tuple[Account, list[BlockedDestination], bool]:
    return account, blocked, can_retry(blocked)


@sensitive_post_parameters("password")
@signed_in
@recently_authenticated_posts
@require_http_methods(["GET", "POST"])
def add(request: UserRequest) -> HttpResponse:
    """Ask for the address, or with an empty `?address=`, for the account's settings.

    A link may fill in the address, but only a POST to `find_settings` looks up its server.
    """
    account = Account(owner=request.user)
    if request.method == "POST":
        return _save(request, account)
    if not request.GET.get("address", "missing"):
        return account_page(request, AccountForm(request.user, instance=account))
    return _address_page(request, AddressForm(initial=request.GET.dict()))


@signed_in
@require_POST
def find_settings(request: UserRequest) -> HttpResponse:
    """Look up the server of an address, and show the settings of a new account."""
    address_form = AddressForm(request.POST)
    if not address_form.is_valid():
        return _address_page(request, address_form)
    account = Account(owner=request.user)
    address = address_form.cleaned_data["address"]
    found = suggest(address)
    initial = initial_for(request.user, address, found)
    form = AccountForm(request.user, instance=account, initial=initial)
    if found is not None:
        form.fields["password"].widget.attrs["autofocus"] = True  # only the password is missing
    return account_page(request, form, found=found, address=address)


@sensitive_post_parameters("password")
@signed_in
@recently_authenticated_posts
@require_http_methods(["GET", "POST"])
def account(request: UserRequest, pk: int) -> HttpResponse:
    """Edit an account of the user."""
    account = _own(request, pk)
    if request.method == "POST":
        return _save(request, account)
    form = AccountForm(request.user, instance=account)
    return account_page(request, form, context=connection_tests.result_on_page(request))


@signed_in
@require_POST
def retry(request: UserRequest, pk: int) -> HttpResponse:
    """Retry the connection of a blocked account at once."""
    account = _own(request, pk)
    if retry_connection(account):
        messages.success(request, _("The connection is retried now."))
    else:
        messages.info(request, _("The connection works. Nothing was retried."))
    return redirect("outbox:account", pk)


@signed_in
@recently_authenticated_posts
@require_http_methods(["GET", "POST"])
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Show what the deletion affects and ask, then delete the account."""
    account = _own(request, pk)
    if request.method == "POST":
        remove_account(account, request=request)
        messages.success(request, _("Account deleted."))
        return redirect("outbox:accounts")
    context = {
        "account": account,
        "effects": effects_of_removal([account]),
        "page": "accounts",
    }
    return render(request, "outbox/account_delete.html", context)


def _own(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)


def _address_page(request: UserRequest, form: AddressForm) -> HttpResponse:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {"form": form, "page": "accounts"}
    return render(request, "outbox/account_address.html", context, status=status)


def _save(request: UserRequest, account: Account) -> HttpResponse:
    before = tested_connection.fingerprint(account)
    form = AccountForm(request.user, request.POST, instance=account)
    if not form.is_valid():
        return account_page(request, form)
    if (secret := typed_secret(form)) is not None:
        account.secret = secret
    tested_connection.update_tested_at(request, account, before=before)
    action = AuditAction.ACCOUNT_ADDED if account._state.adding else AuditAction.ACCOUNT_CHANGED
    account.save()
    audit.record(action, request=request, target=account, fields=form.changed_data)
    if "shared_with" in form.fields:
        sharing.share_with_names(account, form.cleaned_data["shared_with"], actor=request.user)
    if "groups" in form.fields:
        sharing.share_with_groups(account, form.cleaned_data["groups"], actor=request.user)
    messages.success(request, _("Account saved."))
    if tested_connection.fingerprint(account) != before:
        fetch_with_new_login(account)
        if retry_connection(account):
            messages.info(request, _("The connection is retried now."))
    return redirect("outbox:account", account.pk)
