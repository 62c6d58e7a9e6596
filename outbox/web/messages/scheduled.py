"""Actions on a scheduled message: send it now, change its time, edit it. For its owner."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from outbox.api.message_actions import MESSAGE_ACTIONS, MessageAction
from outbox.api.reasons import in_words
from outbox.api.times import format_clock
from outbox.exceptions import AccountNotUsableError, InvalidMessageError, NotScheduledError
from outbox.models import Message
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose.send_at import SendAtField, offered_presets, with_preset
from outbox.web.dialogs import render_dialog
from outbox.web.preferences.time_zones import current_zone_label

SEND_NOW = MESSAGE_ACTIONS["send-now"]
CHANGE_TIME = MESSAGE_ACTIONS["change-time"]
EDIT = MESSAGE_ACTIONS["edit"]


class TimeForm(forms.Form):
    """Another time for a scheduled message."""

    send_at = SendAtField(
        label=gettext_lazy("Another time"),
        error_messages={"required": gettext_lazy("Choose a time.")},
    )


@signed_in
@require_POST
def send_now(request: UserRequest, pk: int) -> HttpResponse:
    """Send a scheduled message at once, with the usual time to undo."""
    message = _message(request, pk, SEND_NOW)
    undo_period = request.preferences.undo_after_send if hasattr(message, "draft") else 0
    try:
        SEND_NOW.call(message, actor=request.user, undo_period=undo_period)
    except NotScheduledError:
        return _too_late(request, pk)
    except AccountNotUsableError as error:
        messages.error(request, in_words(error))
    return redirect("outbox:message", pk)


@signed_in
@require_POST
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """Return a scheduled message to the drafts and open it."""
    message = _message(request, pk, EDIT)
    if message.is_draft:  # pressed twice
        return redirect("outbox:draft", pk)
    try:
        EDIT.call(message, actor=request.user)
    except NotScheduledError:
        return _too_late(request, pk)
    notice = _("The message is a draft again. It is sent only when you schedule or send it.")
    messages.success(request, notice)
    return redirect("outbox:draft", pk)


@signed_in
@require_http_methods(["GET", "POST"])
def change_time(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for a time, then change the time of a scheduled message."""
    message = _message(request, pk, CHANGE_TIME)
    if request.method != "POST":
        return _ask(request, message, TimeForm(initial={"send_at": message.send_at}))
    form = TimeForm(with_preset(request.POST))
    if not form.is_valid():
        return _ask(request, message, form)
    send_at = form.cleaned_data["send_at"]
    try:
        CHANGE_TIME.call(message, send_at, actor=request.user)
    except (InvalidMessageError, AccountNotUsableError) as error:
        form.add_error("send_at", in_words(error))
        return _ask(request, message, form)
    except NotScheduledError:
        return _too_late(request, pk)
    notice = _("Scheduled for %(time)s.") % {"time": format_clock(send_at)}
    messages.success(request, notice)
    return redirect("outbox:message", pk)


def _message(request: UserRequest, pk: int, action: MessageAction) -> Message:
    return get_object_or_404(action.permission.messages(request.user), pk=pk)


def _too_late(request: UserRequest, pk: int) -> HttpResponse:
    notice = _("Too late: the message is no longer scheduled. Nothing was changed.")
    messages.warning(request, notice)
    return redirect("outbox:message", pk)


def _ask(request: UserRequest, message: Message, form: TimeForm) -> HttpResponse:
    context = {
        "action": CHANGE_TIME,
        "message": message,
        "form": form,
        "presets": offered_presets(),
        "zone": current_zone_label(),
        "folder": message.folder,
    }
    return render_dialog(request, "change_time", context, is_valid=not form.errors)
