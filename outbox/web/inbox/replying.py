"""Open the composer with a reply to a received message, or with a forward of it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from outbox import api
from outbox.api.reasons import in_words
from outbox.api.received_replies import prepare_received_reply
from outbox.exceptions import InvalidMessageError
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose.original import compose_url
from outbox.web.inbox.access import get_own

# The values of the buttons: what is made of the message, and whether all recipients get it.
_BUTTONS = {
    "reply": (api.DraftKind.REPLY, False),
    "all": (api.DraftKind.REPLY, True),
    "forward": (api.DraftKind.FORWARD, False),
}


@signed_in
@require_POST
def reply(request: UserRequest, pk: int) -> HttpResponse:
    """Open the composer. Nothing is stored yet."""
    original = get_own(request, pk)
    kind, to_all = _BUTTONS.get(request.POST.get("as", ""), _BUTTONS["reply"])
    try:
        prepare_received_reply(original, kind, actor=request.user, to_all=to_all)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
        return redirect("outbox:received", pk)
    return redirect(compose_url(original, kind, to_all=to_all))
