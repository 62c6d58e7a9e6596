"""Read a received message: its page, its tabs, its HTML, its files."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from outbox.api.received import mark_read
from outbox.mail.parts import outline, part_bytes
from outbox.models import InboundFolder, InboundMessage
from outbox.web.auth import UserRequest, signed_in
from outbox.web.downloads.responses import download
from outbox.web.inbox.access import get_own
from outbox.web.inbox.content import ReceivedContent
from outbox.web.inbox.page import ReceivedPage
from outbox.web.messages.preview import (
    PAPERS,
    SANDBOX,
    expired,
    make_permit,
    permitted_user,
    show_html,
)

# The views that the content links to.
_PLACES = {
    "page": "outbox:received",
    "content": "outbox:received-content",
    "source": "outbox:received-source",
    "part": "outbox:received-part",
}
PICTURES = "pictures"  # the extent of a permit for HTML that loads its remote pictures


@signed_in
@require_safe
def read(request: UserRequest, pk: int) -> HttpResponse:
    """Show a message, and mark it as read."""
    message = get_own(request, pk, "account", "replies_to")
    mark_read(message)
    context = {
        "message": message,
        "page": ReceivedPage(message),
        "folder": InboundFolder.INBOX,
        **_content(request, message, request.GET.get("show", "")),
    }
    return render(request, "outbox/received.html", context)


@signed_in
@require_safe
def content(request: UserRequest, pk: int, tab: str) -> HttpResponse:
    """Return one tab of the content."""
    message = get_own(request, pk)
    context = {"message": message, **_content(request, message, tab)}
    return render(request, "outbox/_content.html", context)


@signed_in
@require_POST
def load_pictures(request: UserRequest, pk: int) -> HttpResponse:
    """Show the HTML with its remote pictures, so that their servers notice that it was read."""
    message = get_own(request, pk, "account", "replies_to")
    context = {"message": message, **_content(request, message, "preview", loads_pictures=True)}
    if request.htmx:
        return render(request, "outbox/_content.html", context)
    more = {"page": ReceivedPage(message), "folder": InboundFolder.INBOX}
    return render(request, "outbox/received.html", context | more)


@never_cache
@require_safe
def preview(request: HttpRequest, pk: int, permit: str) -> HttpResponse:
    """Show the cleaned HTML if the permit is valid, without remote pictures."""
    return _show(request, pk, permit)


@never_cache
@require_safe
def preview_with_pictures(request: HttpRequest, pk: int, permit: str) -> HttpResponse:
    """Show the cleaned HTML with remote pictures if the permit is for them."""
    return _show(request, pk, permit, PICTURES)


@signed_in
@require_safe
def source(request: UserRequest, pk: int) -> HttpResponse:
    """Download the bytes as they were received."""
    message = get_own(request, pk)
    return download_source(message)


@signed_in
@require_safe
def part(request: UserRequest, pk: int, path: str) -> HttpResponse:
    """Download one part of the message, decoded."""
    return download_part(get_own(request, pk), path)


def download_source(message: InboundMessage) -> HttpResponse:
    """Return the bytes of a message as a file. Raises Http404 if they are missing."""
    name = f"{message.subject[:100] or 'message'}.eml"
    return download(_bytes(message), name, "message/rfc822")


def download_part(message: InboundMessage, path: str) -> HttpResponse:
    """Return one part of a message as a file. Raises Http404 if there is none."""
    data = _bytes(message)
    found = next((part for part in outline(data).walk() if part.path == path), None)
    if found is None:
        raise Http404
    return download(part_bytes(data, path), found.name or f"part-{path}")


def _bytes(message: InboundMessage) -> bytes:
    data = ReceivedContent(message, "").source
    if data is None:
        raise Http404
    return data


def _show(request: HttpRequest, pk: int, permit: str, extent: str = "") -> HttpResponse:
    user = permitted_user(InboundMessage, pk, permit, extent)
    if user is None:
        return expired(request)
    message = get_object_or_404(InboundMessage.objects.visible_to(user), pk=pk)
    shown = ReceivedContent(message, "preview")
    return show_html(request, shown, loads_pictures=extent == PICTURES)


def _content(
    request: UserRequest, message: InboundMessage, tab: str, *, loads_pictures: bool = False
) -> dict[str, Any]:
    extent = PICTURES if loads_pictures else ""
    view = "outbox:received-pictures-preview" if loads_pictures else "outbox:received-preview"
    return {
        "content": ReceivedContent(message, tab),
        "preview_address": reverse(view, args=[message.pk, make_permit(message, request, extent)]),
        "loads_pictures": loads_pictures,
        "is_received": True,
        "places": _PLACES,
        "papers": PAPERS,
        "sandbox": SANDBOX,
    }
