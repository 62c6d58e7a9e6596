"""The folder Apps: messages without an owner, for staff who may view the messages of others."""

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
from outbox.models.access import READ_SOURCE, can_change_others, can_view_others
from outbox.web.messages.folders import APPS
from outbox.web.messages.listing import NOTHING_NEW, Page
from outbox.web.messages.paging import read_stretch
from outbox.web.messages.rows import LISTED, read_rows
from outbox.web.person import PersonRequest, signed_in

FOLDERS = tuple(folder for folder in Folder if folder != Folder.DRAFTS)


@signed_in
@require_safe
def apps(request: PersonRequest) -> HttpResponse:
    """List the messages of apps, newest first; `folder` limits them to one folder."""
    return render(request, "outbox/apps.html", _context(request))


@signed_in
@require_safe
def rows(request: PersonRequest) -> HttpResponse:
    """Answer with the rows of the first page, if they changed since `seen`."""
    context = _context(request)
    if request.GET.get("seen") == context["list"].fingerprint:
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "outbox/_rows.html", context | {"oob": True})


def _context(request: PersonRequest) -> dict[str, Any]:
    if not can_view_others(request.user):
        raise Http404
    chosen = request.GET.get("folder", "")
    return {
        "list": read_apps(request.user, chosen, request.GET),
        "folder": APPS,
        "folders": FOLDERS,
        "chosen": chosen,
    }


def read_apps(user: User, chosen: str, query: Mapping[str, str]) -> Page:
    """Read the page that `before` or `after` leads to. Raises Http404 for an unknown folder."""
    folders = [folder for folder in FOLDERS if chosen in {"", folder}]
    if not folders:
        raise Http404
    stretch = read_stretch(query, lambda *asked: find_of_apps(folders, *asked))
    within = f"{urlencode({'folder': chosen})}&" if chosen else ""
    return Page(
        rows=read_rows(stretch.messages),
        stretch=stretch,
        refresh=f"{reverse('outbox:apps-rows')}?{within}",
        here=f"?{within}",
        is_apps=True,
        can_change=can_change_others(user),
        shows_snippets=user.has_perm(f"outbox.{READ_SOURCE}"),
    )


def find_of_apps(
    folders: Sequence[str], condition: Q, order: tuple[str, ...], count: int
) -> list[Message]:
    """Return the first so many messages of apps in these folders.

    Each folder is read by the index of the lists and the results are merged, so that the messages
    need no further index.
    """
    is_descending = order[0].startswith("-")
    # To PostgreSQL, "is null" does not fix a column of the index: the order has to name it.
    owner = "owner_id" if is_descending else "-owner_id"
    listed = Message.objects.of_apps().filter(condition).only(*LISTED).order_by(owner, *order)
    # A message with a failed and an open recipient is in two folders.
    found = {one.pk: one for folder in folders for one in listed.in_folder(folder)[:count]}
    return sorted(found.values(), key=attrgetter("listed_at", "pk"), reverse=is_descending)[:count]
