"""Reply, forward, edit as new, edit and resend: each opens the composer."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from outbox import api
from outbox.api.phrases import translate
from outbox.exceptions import InvalidMailError
from outbox.models import Message
from outbox.web.compose import answering
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_POST
def answer(request: PersonRequest, pk: int) -> HttpResponse:
    """Open the composer with the answer that the pressed button names; nothing is stored yet."""
    mail = get_object_or_404(
        Message.objects.visible_to(request.user).exclude(status="draft"), pk=pk
    )
    kind = answering.kind_of(request.POST)
    try:
        api.prepare_answer(mail, kind, actor=request.user)
    except InvalidMailError as error:
        messages.error(request, translate(str(error)))
        return redirect("outbox:message", pk)
    return redirect(answering.address_of(mail, kind))
