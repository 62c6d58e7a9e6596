"""Take a mail back that was just sent: decided here, on the server, whatever tab is open."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from outbox import api
from outbox.models import Message
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_POST
def undo(request: PersonRequest, pk: int) -> HttpResponse:
    """Stop the mail and open it as a draft again, or say that it is too late."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    if message.is_draft:  # pressed twice
        return redirect("outbox:draft", pk)
    result = api.take_back(message, actor=request.user)
    if result.too_late or not result.stopped:
        messages.warning(request, _("Too late: the message was already being sent."))
        return redirect("outbox:message", pk)
    messages.success(request, _("Sending undone. Your message is back in Drafts."))
    return redirect("outbox:draft", pk)
