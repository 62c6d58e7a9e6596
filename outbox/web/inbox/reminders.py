"""Reminders of sent messages that have no reply: the form, and the notices on every page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from outbox.api.reminders import due_reminders, forget_reminder, remind_of, remove_replied
from outbox.models import Message, ReplyReminder, Status
from outbox.models.reminder import MAX_DAYS
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.counts import read_counts
from outbox.web.parameters import integer, return_address

SHOWN = 3  # notices on a page


@signed_in
@require_POST
def remind(request: UserRequest, pk: int) -> HttpResponse:
    """Set the reminder of a message, or change its days."""
    message = _own(request, pk)
    try:
        remind_of(message, integer(request.POST.get("days")) or 0, actor=request.user)
    except ValueError:
        text = _("Enter a number of days from 1 to %(most)d.")
        messages.error(request, text % {"most": MAX_DAYS})
    else:
        messages.success(request, _("Reminder set."))
    remove_replied(request.user)
    return redirect("outbox:message", pk)


@signed_in
@require_POST
def forget(request: UserRequest, pk: int) -> HttpResponse:
    """Remove the reminder of a message, from its page or from a notice."""
    forget_reminder(_own(request, pk), actor=request.user)
    page = reverse("outbox:message", args=[pk])
    return redirect(return_address(request.POST.get("back", ""), page))


def _own(request: UserRequest, pk: int) -> Message:
    mine = Message.objects.visible_to(request.user).exclude(status=Status.DRAFT)
    return get_object_or_404(mine, pk=pk)


def reminder_notices(request: HttpRequest) -> tuple[list[ReplyReminder], int]:
    """Return the first due reminders of the user of a request, and how many more there are."""
    count = read_counts(request).reminders
    if not count or not request.user.is_authenticated:
        return [], 0
    columns = ("message__subject", "message__is_sensitive", "message__to_summary")
    due = due_reminders(request.user).select_related("message")
    shown = list(due.only("days", "remind_at", *columns)[:SHOWN])
    return shown, max(count - len(shown), 0)


def reminder_of(message: Message) -> ReplyReminder | None:
    """Return the reminder of a message, if it has one."""
    return ReplyReminder.objects.filter(pk=message.pk).first()
