"""Read messages that are queued, under way or done. Nothing changes but what was seen."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from outbox.models import Folder, Message
from outbox.models.access import can_read, is_owner
from outbox.models.message import MessageQuerySet
from outbox.web.messages.access import Access, get_readable, get_viewable
from outbox.web.messages.checks import read_checks
from outbox.web.messages.content import Content
from outbox.web.messages.failures import see_all_failures, see_failure
from outbox.web.messages.folders import APPS, read_page
from outbox.web.messages.listing import NOTHING_NEW
from outbox.web.messages.page import MessagePage
from outbox.web.messages.preview import PAPERS, SANDBOX, preview_address
from outbox.web.messages.versions import Versions
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_safe
def folder(request: PersonRequest, folder: str = Folder.OUTBOX) -> HttpResponse:
    """List one folder, newest first."""
    new = see_all_failures(request.user) if folder == Folder.FAILED else frozenset()
    page = read_page(request.user, _folder(folder), request.GET, request.preferences.page_size)
    page.mark_new(new)
    return render(request, "outbox/folder.html", {"list": page, "folder": page.folder})


@signed_in
@require_safe
def rows(request: PersonRequest, folder: str) -> HttpResponse:
    """Answer with the rows of the folder's first page, if they changed since `seen`."""
    page = read_page(request.user, _folder(folder), request.GET, request.preferences.page_size)
    if request.GET.get("seen") == page.fingerprint:
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "outbox/_rows.html", {"list": page, "folder": page.folder, "oob": True})


@signed_in
@require_safe
def message(request: PersonRequest, pk: int) -> HttpResponse:
    """Show one mail, from what is happening to it down to its bytes."""
    mail = get_viewable(request, pk, _with_facts())
    if mail.is_draft:
        return redirect("outbox:draft", pk)
    see_failure(request.user, mail)
    context = _context(request, mail)
    if can_read(request.user, mail):
        context |= _content(request, mail, request.GET.get("show", ""))
    return render(request, "outbox/message.html", context)


@signed_in
@require_safe
def live(request: PersonRequest, pk: int) -> HttpResponse:
    """Answer with the part of the page that follows the delivery, if it changed since `seen`."""
    mail = get_viewable(request, pk, _with_facts())
    see_failure(request.user, mail)  # a hidden tab does not ask
    context = _context(request, mail)
    page = context["page"]
    if request.GET.get("seen") == page.fingerprint and page.look_again_after:
        return HttpResponse(status=NOTHING_NEW)
    return render(request, "outbox/_live.html", context | {"oob": True})


@signed_in
@require_safe
def content(request: PersonRequest, pk: int, tab: str) -> HttpResponse:
    """Answer with one tab of what the mail consists of."""
    mail = get_readable(request, pk, _with_facts())
    context = {"message": mail, **_content(request, mail, tab)}
    return render(request, "outbox/_content.html", context)


def _with_facts() -> MessageQuerySet:
    return Message.objects.select_related("account", "owner", "draft", "made_from")


def _context(request: PersonRequest, mail: Message) -> dict[str, Any]:
    access = Access.of(request, mail)
    page = MessagePage(
        mail,
        every_attempt=request.GET.get("attempts") == "all",
        recipient=number(request.GET.get("recipient")),
        shows_drafts=access.is_owner,
    )
    folder = mail.folder if access.is_owner else APPS if mail.owner_id is None else None
    return {"message": mail, "page": page, "access": access, "folder": folder}


def _content(request: PersonRequest, mail: Message, tab: str) -> dict[str, Any]:
    content = Content(mail, tab)
    return {
        "content": content,
        "checks": read_checks(content) if content.tab == "checks" else [],
        "versions": Versions(
            content,
            number(request.GET.get("with")),
            shows_drafts=is_owner(request.user, mail),
        ),
        "preview_address": preview_address(mail, request.user),
        "papers": PAPERS,
        "sandbox": SANDBOX,
    }


def _folder(name: str) -> Folder:
    try:
        return Folder(name)
    except ValueError as error:
        raise Http404 from error
