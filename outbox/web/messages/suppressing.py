"""“Suppress this address”, beside a recipient whose failure is about the recipient."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from outbox.api import suppressions
from outbox.api.reasons import reason_of
from outbox.models import Message, SuppressionReason
from outbox.models.access import can_change_list
from outbox.web.auth import UserRequest, signed_in
from outbox.web.messages.access import get_viewable
from outbox.web.messages.page import RecipientRow

User = AbstractBaseUser | AnonymousUser


def suppressible(user: User, message: Message, rows: Iterable[RecipientRow]) -> set[int]:
    """Return the ids of the recipients that the page offers to suppress."""
    if message.account is None or not can_change_list(user, message):
        return set()
    failed = [row.recipient for row in rows if suppressions.is_about_recipient(row.recipient)]
    if not failed:
        return set()
    known = suppressions.suppressed([one.address for one in failed], message.account)
    return {one.pk for one in failed if one.address not in known}


@signed_in
@require_http_methods(["GET", "POST"])
def suppress(request: UserRequest, pk: int, recipient: int) -> HttpResponse:
    """Ask, then add the recipient's address to the list of the message's account."""
    message = get_viewable(request, pk, Message.objects.select_related("account"))
    found = get_object_or_404(message.recipients.all(), pk=recipient)
    if message.account is None or not suppressions.is_about_recipient(found):
        raise Http404
    if not can_change_list(request.user, message):
        raise PermissionDenied
    evidence = reason_of(found)
    if request.method == "POST":
        suppressions.suppress(
            found.address,
            account=message.account,
            reason=SuppressionReason.BOUNCED,
            evidence=evidence,
            actor=request.user,
        )
        messages.success(request, _("Address suppressed."))
        return redirect("outbox:message", pk)
    context = {"message": message, "recipient": found, "evidence": evidence}
    return render(request, "outbox/suppress.html", context)
