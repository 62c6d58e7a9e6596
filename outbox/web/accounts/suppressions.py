"""The suppression list of an account, for its owner."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from outbox.api import suppressions
from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Suppression
from outbox.models.suppression import folded_address
from outbox.web.auth import UserRequest, signed_in
from outbox.web.parameters import integer

PAGE_SIZE = 100


@signed_in
@require_http_methods(["GET", "POST"])
def suppression_list(request: UserRequest, pk: int) -> HttpResponse:
    """List the addresses, newest first, and add one."""
    account = _own(request, pk)
    if request.method == "POST":
        return _add(request, account)
    entries = Suppression.objects.of_account(account.pk).order_by("-pk")
    words = request.GET.get("q", "").replace("\0", "").strip()
    if words:
        entries = entries.filter(folded__startswith=folded_address(words))
    before = integer(request.GET.get("before"))
    if before is not None:
        entries = entries.filter(pk__lt=before)
    found = list(entries.select_related("created_by")[: PAGE_SIZE + 1])
    context = {
        "account": account,
        "entries": found[:PAGE_SIZE],
        "before": found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        "is_further": before is not None,
        "words": words,
        "page": "accounts",
    }
    return render(request, "outbox/account_suppressions.html", context)


def _add(request: UserRequest, account: Account) -> HttpResponse:
    try:
        suppressions.suppress(request.POST.get("address", ""), account=account, actor=request.user)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
    else:
        messages.success(request, _("Address suppressed."))
    return redirect("outbox:account-suppressions", account.pk)


@signed_in
@require_POST
def remove(request: UserRequest, pk: int, entry: int) -> HttpResponse:
    """Remove an address. Held messages stay held."""
    account = _own(request, pk)
    found = get_object_or_404(Suppression.objects.of_account(account.pk), pk=entry)
    suppressions.remove([found], request.user)
    messages.success(request, _("Address removed. Held messages stay held until you release them."))
    return redirect("outbox:account-suppressions", account.pk)


def _own(request: UserRequest, pk: int) -> Account:
    return get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
