"""The actions on received messages, selected in a list or shown on a page.

An action is performed at once, since each can be undone. Deleting permanently asks first.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from outbox.api.received import RECEIVED_ACTIONS, ReceivedAction, change_received, on_server
from outbox.models import InboundFolder, InboundMessage
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.bulk import AT_ONCE
from outbox.web.parameters import integer, return_address

SELECTED = "received"
_CONFIRMED = "confirmed"
_TO_TRASH = InboundFolder.TRASH.value


@signed_in
@require_POST
def change(request: UserRequest, name: str) -> HttpResponse:
    """Perform an action on the user's messages that `received` names.

    Search results have sent messages beside them, whose ids are sent as `m`.
    """
    action = RECEIVED_ACTIONS.get(name)
    if action is None:
        raise Http404
    keys = [key for text in request.POST.getlist(SELECTED) if (key := integer(text))][:AT_ONCE]
    chosen = _chosen(request, action, keys)
    back = return_address(request.POST.get("back", ""), reverse("outbox:inbox"))
    if action.changes is None and chosen and _CONFIRMED not in request.POST:
        context = {"action": action, "chosen": chosen, "back": back, "server": on_server(chosen)}
        return render(request, "outbox/received_delete.html", context | {"folder": "inbox"})
    server = on_server(chosen) if name == _TO_TRASH else []
    changed = change_received(action, [one.pk for one in chosen], actor=request.user)
    _report(request, action, changed, server)
    return redirect(back)


def _chosen(
    request: UserRequest, action: ReceivedAction, keys: list[int]
) -> Sequence[InboundMessage]:
    mine = InboundMessage.objects.visible_to(request.user)
    found = mine.filter(pk__in=keys, folder__in=action.folders).order_by("-received_at", "-pk")
    return list(found.only("pk", "subject", "account_id", "folder", "is_read"))


def _report(
    request: UserRequest, action: ReceivedAction, changed: int, server: Sequence[str]
) -> None:
    if not changed:
        messages.warning(request, _("No message was selected, so nothing was done."))
        return
    count = ngettext("%(count)d message", "%(count)d messages", changed) % {"count": changed}
    text = _("%(done)s: %(count)s.") % {"done": action.done, "count": count}
    messages.success(request, " ".join([text, *server]))
