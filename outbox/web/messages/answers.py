"""Go on from a mail: reply, forward, edit as new, resend. Each begins a draft and opens it."""

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from outbox import api
from outbox.api.phrases import translate
from outbox.exceptions import InvalidMailError
from outbox.models import Message
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_POST
def answer(request: PersonRequest, pk: int) -> HttpResponse:
    """Make the draft that the pressed button names."""
    mail = get_object_or_404(
        Message.objects.visible_to(request.user).exclude(status="draft"), pk=pk
    )
    try:
        kind = api.Answer(request.POST.get("as", ""))
    except ValueError as error:
        raise BadRequest from error
    try:
        draft = api.answer(mail, kind, actor=request.user)
    except InvalidMailError as error:
        messages.error(request, translate(str(error)))
        return redirect("outbox:message", pk)
    return redirect("outbox:draft", draft.pk)
