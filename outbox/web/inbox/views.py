"""The pages of the folders of received messages."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from outbox.models import InboundFolder, InboundMessage
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.message_list import NOT_CHANGED
from outbox.web.folders.pagination import finder, read_slice
from outbox.web.inbox.listing import LISTED, UNREAD, VIEWS, ReceivedList, ReceivedRow
from outbox.web.inbox.mailboxes import has_mailbox


@signed_in
@require_safe
def folder(request: UserRequest, folder: str = InboundFolder.INBOX) -> HttpResponse:
    """Show a folder of received messages, newest first."""
    return render(request, "outbox/inbox.html", _context(request, folder))


@signed_in
@require_safe
def rows(request: UserRequest, folder: str) -> HttpResponse:
    """Return the rows of the folder's newest page, unless they are those that were `seen`."""
    context = _context(request, folder)
    if request.GET.get("seen") == context["list"].fingerprint:
        return HttpResponse(status=NOT_CHANGED)
    return render(request, "outbox/_received_rows.html", context | {"oob": True})


def _context(request: UserRequest, name: str) -> dict[str, Any]:
    show = request.GET.get("show", "")
    if name not in InboundFolder.values or show not in VIEWS:
        raise Http404
    folder = InboundFolder(name)
    messages = InboundMessage.objects.visible_to(request.user).filter(folder=folder)
    if show == UNREAD:
        messages = messages.filter(is_read=False)
    found = read_slice(
        request.GET, finder(messages.listed().only(*LISTED)), request.preferences.page_size
    )
    parameters = f"{urlencode({'show': show})}&" if show else ""
    shown = ReceivedList(
        rows=[ReceivedRow(message) for message in found.messages],
        slice=found,
        refresh_url=f"{reverse('outbox:received-rows', args=[folder.value])}?{parameters}",
        url=f"?{parameters}",
        folder=folder,
        show=show,
    )
    return {
        "list": shown,
        "folder": InboundFolder.INBOX,  # in the navigation
        "folders": InboundFolder,
        "views": VIEWS,
        "has_mailbox": bool(shown.rows) or has_mailbox(request.user),
    }
