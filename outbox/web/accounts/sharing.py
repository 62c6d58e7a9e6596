"""Invitations to send with the account of another user, and who shares an account."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from outbox.api import sharing
from outbox.api.accounts import count_waiting
from outbox.models import Account
from outbox.web.auth import UserRequest, signed_in


def shared_by(account: Account, user: AbstractBaseUser | AnonymousUser) -> str:
    """Return who shares the account with the user; empty for the user's own."""
    if account.owner_id == user.pk:
        return ""
    if account.owner is None:
        return _("shared by the site's staff")
    return _("shared by %(name)s") % {"name": account.owner.get_username()}


@signed_in
@require_POST
def accept(request: UserRequest, pk: int) -> HttpResponse:
    """Accept an invitation."""
    account = get_object_or_404(Account.objects.inviting(request.user), pk=pk)
    if sharing.accept(account, request.user):
        text = _("You can now send messages with “%(name)s”.")
        messages.success(request, text % {"name": account.name})
    return redirect("outbox:accounts")


@signed_in
@require_POST
def decline(request: UserRequest, pk: int) -> HttpResponse:
    """Decline an invitation."""
    account = get_object_or_404(Account.objects.inviting(request.user), pk=pk)
    if sharing.decline(account, request.user):
        messages.success(request, _("Invitation declined."))
    return redirect("outbox:accounts")


@signed_in
@require_http_methods(["GET", "POST"])
def leave(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then stop using an account that another user shares."""
    usable = Account.objects.usable_by(request.user).exclude(owner=request.user.pk)
    account = get_object_or_404(usable, pk=pk)
    if request.method == "POST":
        sharing.leave(account, request.user)
        messages.success(request, _("You no longer use this account."))
        return redirect("outbox:accounts")
    context = {
        "account": account,
        "waiting": count_waiting(account, request.user),
        "page": "accounts",
    }
    return render(request, "outbox/account_leave.html", context)
