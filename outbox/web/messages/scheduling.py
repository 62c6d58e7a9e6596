"""Actions of a scheduled message: send it now, change its time, edit it. By POST, for its owner."""

from __future__ import annotations

from http import HTTPStatus

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from outbox import api
from outbox.api.phrases import translate
from outbox.api.times import format_clock
from outbox.exceptions import InvalidMailError, NotScheduledError
from outbox.models import Message
from outbox.web.compose import later
from outbox.web.person import PersonRequest, signed_in


class TimeForm(forms.Form):
    """Another time for a scheduled message."""

    send_at = later.SendAtField(
        label=gettext_lazy("At another time"),
        error_messages={"required": gettext_lazy("Choose a time.")},
    )


@signed_in
@require_POST
def send_now(request: PersonRequest, pk: int) -> HttpResponse:
    """Send a scheduled message at once, with the usual time to undo."""
    message = _own(request, pk)
    undo_for = request.preferences.undo_after_send if hasattr(message, "draft") else 0
    try:
        api.send_now(message, actor=request.user, undo_for=undo_for)
    except NotScheduledError:
        return _too_late(request, pk)
    return redirect("outbox:message", pk)


@signed_in
@require_POST
def edit(request: PersonRequest, pk: int) -> HttpResponse:
    """Make a scheduled message a draft again and open it."""
    message = _own(request, pk)
    if message.is_draft:  # pressed twice
        return redirect("outbox:draft", pk)
    try:
        api.return_to_drafts(message, actor=request.user)
    except NotScheduledError:
        return _too_late(request, pk)
    notice = _("The message is a draft again. It is sent only when you schedule or send it.")
    messages.success(request, notice)
    return redirect("outbox:draft", pk)


@signed_in
@require_http_methods(["GET", "POST"])
def change_time(request: PersonRequest, pk: int) -> HttpResponse:
    """Offer times, then change the time of a scheduled message."""
    message = _own(request, pk)
    if request.method != "POST":
        return _ask(request, message, TimeForm(initial={"send_at": message.send_at}))
    form = TimeForm(later.with_preset(request.POST))
    if not form.is_valid():
        return _ask(request, message, form)
    send_at = form.cleaned_data["send_at"]
    try:
        api.reschedule(message, send_at, actor=request.user)
    except InvalidMailError as error:
        form.add_error("send_at", translate(str(error)))
        return _ask(request, message, form)
    except NotScheduledError:
        return _too_late(request, pk)
    notice = _("Scheduled for %(time)s.") % {"time": format_clock(send_at)}
    messages.success(request, notice)
    return redirect("outbox:message", pk)


def _own(request: PersonRequest, pk: int) -> Message:
    return get_object_or_404(Message.objects.filter(owner=request.user.pk), pk=pk)


def _too_late(request: PersonRequest, pk: int) -> HttpResponse:
    notice = _("Too late: this message is not scheduled any more. Nothing was changed.")
    messages.warning(request, notice)
    return redirect("outbox:message", pk)


def _ask(request: PersonRequest, message: Message, form: TimeForm) -> HttpResponse:
    template = "outbox/_change_time.html" if request.htmx else "outbox/change_time.html"
    context = {
        "message": message,
        "form": form,
        "presets": later.choices(),
        "zone": timezone.get_current_timezone_name(),
        "folder": message.folder,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response
