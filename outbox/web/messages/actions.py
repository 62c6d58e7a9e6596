"""The question page of an action on the recipients of one message.

The question shows what the action will change. The report shows what it did change, which may be
less because deliveries continue in the meantime.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from outbox.api.bulk_actions import preview
from outbox.api.message_actions import RECIPIENT_ACTIONS, ActionResult, MessageAction
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.models import Message, Status
from outbox.web.auth import UserRequest, signed_in
from outbox.web.dialogs import render_dialog
from outbox.web.messages.access import get_actionable
from outbox.web.messages.forms import ReasonForm, RecipientsForm


@signed_in
@require_http_methods(["GET", "POST"])
def perform(request: UserRequest, pk: int, name: str) -> HttpResponse:
    """Ask about an action, then perform it."""
    action = RECIPIENT_ACTIONS[name]
    message = get_actionable(request, pk, action)
    form = _form(request, message, action)
    if request.method == "POST" and form.is_valid() and not action.obstacle(message):
        result = action.call(message, actor=request.user, **form.cleaned_data)
        _report(request, action, result)
        return redirect("outbox:message", pk)
    return _ask(request, message, action, form)


def _form(
    request: UserRequest, message: Message, action: MessageAction
) -> ReasonForm | RecipientsForm:
    data = request.POST if request.method == "POST" else None
    is_required = message.owner_id != request.user.pk
    if not action.names_recipients:
        return ReasonForm(data, is_required=is_required)
    offered = action.among(message.recipients.order_by("pk"))
    return RecipientsForm(message, offered, action.states_by_name, data, is_required=is_required)


def _ask(
    request: UserRequest,
    message: Message,
    action: MessageAction,
    form: ReasonForm | RecipientsForm,
) -> HttpResponse:
    counts = preview([message.pk], action, get_conf().database)
    obstacle = action.obstacle(message)
    is_possible = bool(form.offered) if isinstance(form, RecipientsForm) else bool(counts)
    context = {
        "action": action,
        "address": reverse(action.address, args=[message.pk]),
        "back": reverse("outbox:message", args=[message.pk]),
        "is_possible": is_possible and not obstacle,
        "obstacle": in_words(obstacle),
        "note": _note(action, message),
        "counts": "" if action.names_recipients or not counts else counts.recipients_sentence,
        "form": form,
        "folder": message.folder,
    }
    return render_dialog(request, "question", context, is_valid=not form.errors)


def _note(action: MessageAction, message: Message) -> str:
    is_scheduled = message.status == Status.SCHEDULED and not message.waits_for_undo
    if action.name == "cancel" and is_scheduled:
        return _("It moves to Cancelled. To change the message instead, choose Edit.")
    return ""


def _report(request: UserRequest, action: MessageAction, result: ActionResult) -> None:
    if result.changed:
        count = ngettext("%(count)d recipient", "%(count)d recipients", result.changed)
        messages.success(request, action.report(count % {"count": result.changed}))
    if result.too_late:
        text = ngettext(
            "Too late for %(count)d recipient: the message was already being sent.",
            "Too late for %(count)d recipients: the message was already being sent.",
            result.too_late,
        )
        messages.warning(request, text % {"count": result.too_late})
    if result.error:
        messages.error(request, in_words(result.error))
    elif not result.changed and not result.too_late:
        messages.warning(request, _("The message has changed state. Nothing was done."))
