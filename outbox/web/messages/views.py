"""The page of a message, and its buttons that open the composer."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from outbox import api
from outbox.api.message_actions import MessageAction, Text, offered_actions
from outbox.api.reading import record_reading
from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError
from outbox.models import InboundMessage, Message
from outbox.models.access import can_read, can_view_others
from outbox.models.message import MessageQuerySet
from outbox.reasons import NO_REASON
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose.original import compose_url, kind_of, readable_original
from outbox.web.folders.message_list import APPS, NOT_CHANGED
from outbox.web.folders.unseen_failures import mark_seen
from outbox.web.inbox.reminders import reminder_of
from outbox.web.messages.access import Access, get_readable, get_viewable
from outbox.web.messages.changes import Versions
from outbox.web.messages.content import Content
from outbox.web.messages.content_checks import read_checks
from outbox.web.messages.page import MessagePage
from outbox.web.messages.preview import PAPERS, SANDBOX, preview_address
from outbox.web.messages.suppressing import suppressible
from outbox.web.parameters import integer


@signed_in
@require_safe
def message(request: UserRequest, pk: int) -> HttpResponse:
    """Show a message, from its present state down to its bytes."""
    shown = get_viewable(request, pk, _with_related())
    if shown.is_draft:
        return redirect("outbox:draft", pk)
    mark_seen(request.user, shown)
    context = _context(request, shown)
    if can_read(request.user, shown):
        record_reading(request, shown)
        context |= _content(request, shown, request.GET.get("show", ""))
    return render(request, "outbox/message.html", context)


@signed_in
@require_safe
def live(request: UserRequest, pk: int) -> HttpResponse:
    """Return the part that follows the delivery, unless it is still what was `seen`."""
    shown = get_viewable(request, pk, _with_related())
    mark_seen(request.user, shown)  # the browser does not refresh a hidden tab
    context = _context(request, shown)
    page = context["page"]
    if request.GET.get("seen") == page.fingerprint and page.refresh_after:
        return HttpResponse(status=NOT_CHANGED)
    return render(request, "outbox/_live.html", context | {"oob": True})


@signed_in
@require_safe
def content(request: UserRequest, pk: int, tab: str) -> HttpResponse:
    """Return one tab of the content."""
    shown = get_readable(request, pk, _with_related())
    context = {"message": shown, **_content(request, shown, tab)}
    return render(request, "outbox/_content.html", context)


@signed_in
@require_POST
def reply_to_message(request: UserRequest, pk: int) -> HttpResponse:
    """Open the composer with a reply, a forward or a copy. Nothing is stored yet."""
    original = readable_original(request, pk)
    kind = kind_of(request.POST)
    try:
        api.prepare_reply(original, kind, actor=request.user)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
        return redirect("outbox:message", pk)
    return redirect(compose_url(original, kind))


def _with_related() -> MessageQuerySet:
    return Message.objects.select_related("account", "owner", "draft")


def _context(request: UserRequest, shown: Message) -> dict[str, Any]:
    access = Access.of(request, shown)
    page = MessagePage(
        shown,
        every_attempt=request.GET.get("attempts") == "all",
        recipient=integer(request.GET.get("recipient")),
        visible=Message.objects.viewable_by(request.user),
        received=InboundMessage.objects.viewable_by(request.user),
        viewer=request.user.pk,
        shows_network=can_view_others(request.user),
    )
    actions = offered_actions(request.user, shown, page.recipients.states)
    obstacles = {action.name: reason for action in actions if (reason := action.obstacle(shown))}
    offers_resend = access.is_owner and access.can_read and page.has_failed
    folder = shown.folder if access.is_owner else APPS if shown.owner_id is None else None
    return {
        "message": shown,
        "page": page,
        "access": access,
        "actions": actions,
        "primary_action": next(
            (one for one in actions if one.is_primary and one.name not in obstacles), None
        ),
        "offers_resend": offers_resend,
        # Without a change since the last refresh, nothing reads the rows.
        "suppressible": SimpleLazyObject(lambda: suppressible(request.user, shown, page.rows)),
        "hints": [] if obstacles else _hints(actions, offers_resend=offers_resend),
        "reminder": SimpleLazyObject(lambda: reminder_of(shown)),
        "blocked": obstacles.keys(),
        "obstacle": in_words(next(iter(obstacles.values()), NO_REASON)),
        "folder": folder,
    }


def _hints(actions: list[MessageAction], *, offers_resend: bool) -> list[Text]:
    """Return what the buttons do, where the user has to choose between several."""
    hints = [action.hint for action in actions if action.hint]
    if offers_resend:
        hints.append(_("Edit and resend opens a draft that is addressed to the failed recipients."))
    return hints if len(hints) > 1 else []


def _content(request: UserRequest, shown: Message, tab: str) -> dict[str, Any]:
    content = Content(shown, tab)
    versions = Versions(
        content,
        integer(request.GET.get("with")),
        visible=Message.objects.viewable_by(request.user),
        is_readable=partial(can_read, request.user),
    )
    if content.tab == "changes" and versions.other is not None:
        record_reading(request, versions.other)
    return {
        "content": content,
        "checks": read_checks(content) if content.tab == "checks" else [],
        "versions": versions,
        "preview_address": preview_address(shown, request),
        "papers": PAPERS,
        "sandbox": SANDBOX,
    }
