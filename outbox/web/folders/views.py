"""The pages of the folders, and the list of messages of apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from outbox.models import Folder, Message
from outbox.models.access import can_change_others, can_view_others, of_visible_accounts
from outbox.web.auth import UserRequest, signed_in
from outbox.web.folders.message_list import APPS, LISTED, NOT_CHANGED, MessageList, read_rows
from outbox.web.folders.pagination import NEWEST_FIRST, finder, read_slice
from outbox.web.folders.unseen_failures import mark_all_seen

FOLDERS_OF_APPS = tuple(folder for folder in Folder if folder != Folder.DRAFTS)


@signed_in
@require_safe
def folder(request: UserRequest, folder: str = Folder.OUTBOX) -> HttpResponse:
    """Show a folder, newest first."""
    new = mark_all_seen(request.user) if folder == Folder.FAILED else frozenset()
    context = _folder_context(request, folder)
    context["list"].mark_new(new)
    return render(request, "outbox/folder.html", context)


@signed_in
@require_safe
def folder_rows(request: UserRequest, folder: str) -> HttpResponse:
    """Return the rows of the folder's newest page, unless they are those that were `seen`."""
    return render_rows(request, _folder_context(request, folder))


@signed_in
@require_safe
def apps(request: UserRequest) -> HttpResponse:
    """Show the messages of apps, newest first; `folder` limits them to one folder."""
    return render(request, "outbox/apps.html", _apps_context(request))


@signed_in
@require_safe
def apps_rows(request: UserRequest) -> HttpResponse:
    """Return the rows of the newest page, unless they are those that were `seen`."""
    return render_rows(request, _apps_context(request))


def render_rows(request: UserRequest, context: Mapping[str, Any]) -> HttpResponse:
    """Render the rows of `list` for a page that refreshes itself."""
    if request.GET.get("seen") == context["list"].fingerprint:
        return HttpResponse(status=NOT_CHANGED)
    return render(request, "outbox/_rows.html", {**context, "oob": True})


def _folder_context(request: UserRequest, name: str) -> dict[str, Any]:
    try:
        folder = Folder(name)
    except ValueError as error:
        raise Http404 from error
    messages = Message.objects.visible_to(request.user).in_folder(folder).only(*LISTED)
    found = read_slice(request.GET, finder(messages), request.preferences.page_size)
    shown = MessageList(
        rows=read_rows(found.messages),
        slice=found,
        refresh_url=reverse("outbox:rows", args=[folder.value]) + "?",
        url="?",
        folder=folder,
    )
    return {"list": shown, "folder": folder}


def _apps_context(request: UserRequest) -> dict[str, Any]:
    if not can_view_others(request.user):
        raise Http404
    chosen = request.GET.get("folder", "")
    return {
        "list": _apps_list(request.user, chosen, request.GET),
        "folder": APPS,
        "folders": FOLDERS_OF_APPS,
        "chosen": chosen,
    }


def _apps_list(user: User, chosen: str, query: Mapping[str, str]) -> MessageList:
    folders = [folder for folder in FOLDERS_OF_APPS if chosen in {"", folder}]
    if not folders:
        raise Http404
    found = read_slice(query, lambda *arguments: find_of_apps(user, folders, *arguments))
    parameters = f"{urlencode({'folder': chosen})}&" if chosen else ""
    return MessageList(
        rows=read_rows(found.messages),
        slice=found,
        refresh_url=f"{reverse('outbox:apps-rows')}?{parameters}",
        url=f"?{parameters}",
        is_apps=True,
        can_change=can_change_others(user),
        shows_snippets=False,  # they are content, and reading content is recorded
    )


def find_of_apps(
    user: User, folders: Sequence[str], condition: Q, order: tuple[str, ...], count: int
) -> list[Message]:
    """Return the first messages of apps in these folders, of the accounts that the user sees.

    Each folder is read by the index of the lists and the results are merged, so that the list needs
    no index of its own.
    """
    is_descending = order == NEWEST_FIRST
    # PostgreSQL does not treat "owner IS NULL" as a constant, so the order has to name the column.
    owner = "owner_id" if is_descending else "-owner_id"
    seen = Message.objects.of_apps().filter(of_visible_accounts(user), condition)
    messages = seen.only(*LISTED).order_by(owner, *order)
    # A message with a failed and an open recipient is in two folders.
    found = {one.pk: one for folder in folders for one in messages.in_folder(folder)[:count]}
    return sorted(found.values(), key=attrgetter("listed_at", "pk"), reverse=is_descending)[:count]
