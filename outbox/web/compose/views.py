"""Compose, keep and send a draft.

One address per draft: what was typed is saved first, whatever it says, so that neither bad input
nor a refused attachment loses a word; then the button that was pressed is obeyed.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.conf import get_conf
from outbox.exceptions import DraftConflictError, InvalidMailError, NotADraftError
from outbox.models import Message
from outbox.web.compose.forms import DraftForm, content_type_of
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in

COMPOSED = "outbox.composed"  # session: forms of new mail → the mail they made
COMPOSED_KEPT = 20
TOKEN_MAX = 22
PREFILLED = ("to", "cc", "bcc", "subject", "text")  # what a link to the composer may bring along


@signed_in
@require_http_methods(["GET", "POST"])
def compose(request: PersonRequest) -> HttpResponse:
    """Begin a mail; the first save makes it a draft with an address of its own."""
    if request.method == "POST":
        known = _composed_before(request)
        return _obey(request, None) if known is None else _edit(request, known)
    initial = {name: request.GET[name] for name in PREFILLED if name in request.GET}
    return _page(request, DraftForm(request.user, initial=initial), None)


@signed_in
@require_http_methods(["GET", "POST"])
def draft(request: PersonRequest, pk: int) -> HttpResponse:
    """Go on with a draft."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    return _edit(request, message)


@signed_in
@require_http_methods(["GET", "POST"])
def discard(request: PersonRequest, pk: int) -> HttpResponse:
    """Ask, then throw the draft away."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    if request.method == "POST":
        try:
            api.discard_draft(message)
        except NotADraftError:
            messages.warning(request, _("It was sent already; nothing was discarded."))
            return redirect("outbox:message", pk)
        messages.success(request, _("Draft discarded."))
        return redirect("outbox:folder", "drafts")
    return render(request, "outbox/discard.html", {"message": message, "folder": message.folder})


def _edit(request: PersonRequest, message: Message) -> HttpResponse:
    if not message.is_draft:
        if request.method == "POST":
            messages.warning(request, _("It was sent already; nothing was changed."))
        return redirect("outbox:message", message.pk)
    if request.method == "POST":
        return _obey(request, message)
    return _page(request, DraftForm(request.user, draft=message), message)


def _composed_before(request: PersonRequest) -> Message | None:
    """Return the mail that this very form already made.

    A browser may send a form twice: back to the composer after Send, and Send again. The second
    time concerns the mail of the first, instead of a second one.
    """
    made: dict[str, int] = request.session.get(COMPOSED, {})
    pk = made.get(request.POST.get("form", ""), 0)
    return Message.objects.visible_to(request.user).filter(pk=pk).first()


def _remember_composed(request: PersonRequest, saved: Message) -> None:
    if form := request.POST.get("form", "")[:TOKEN_MAX]:
        made = [*request.session.get(COMPOSED, {}).items(), (form, saved.pk)]
        request.session[COMPOSED] = dict(made[-COMPOSED_KEPT:])


def _obey(request: PersonRequest, draft: Message | None) -> HttpResponse:
    form = DraftForm(request.user, request.POST, request.FILES, draft=draft)
    form.is_valid()
    try:
        saved = api.save_draft(
            request.user, form.as_fields(), draft=draft, version=_version(request, draft)
        )
        if draft is None:
            _remember_composed(request, saved)
        _attach(form, saved)
        return _act(request, form, saved)
    except DraftConflictError:
        assert draft is not None
        return _conflict(request, form, draft)
    except NotADraftError:
        assert draft is not None
        messages.warning(request, _("It was sent or discarded meanwhile; nothing was changed."))
        return redirect("outbox:message", draft.pk)


def _attach(form: DraftForm, saved: Message) -> None:
    for upload in form.uploads:
        try:
            _attach_one(saved, upload)
        except InvalidMailError as error:
            form.object("attachments", str(error))


def _attach_one(saved: Message, upload: UploadedFile[Any]) -> None:
    api.attach(saved, upload.name or "", content_type_of(upload), upload.read())


def _act(request: PersonRequest, form: DraftForm, saved: Message) -> HttpResponse:
    if removed := number(request.POST.get("remove")):
        api.detach(saved, removed)
        return redirect("outbox:draft", saved.pk)
    if form.errors:
        return _page(request, form, saved)
    if "send" not in request.POST:
        messages.success(request, _("Draft saved."))
        return redirect("outbox:draft", saved.pk)
    try:
        api.send_draft(saved, actor=request.user)
    except InvalidMailError as error:
        form.object(error.field, str(error))
        return _page(request, form, saved)
    return redirect("outbox:message", saved.pk)


def _version(request: HttpRequest, draft: Message | None) -> int | None:
    """Read which state of the draft was edited; what is no number fits none."""
    if draft is None:
        return None
    return number(request.POST.get("version")) or 0


def _page(request: PersonRequest, form: DraftForm, draft: Message | None) -> HttpResponse:
    attachments = list(draft.attachments.all()) if draft else []
    context = {
        "form": form,
        "draft": draft,
        "version": draft.draft.version if draft else "",
        "attachments": attachments,
        "token": "" if draft else get_random_string(TOKEN_MAX),
        "limit": get_conf().max_message_bytes,
        "page": "compose",
        "folder": "drafts" if draft else "",
    }
    # 422 keeps a browser from taking the answer for a finished act.
    status = 422 if form.errors else 200
    return render(request, "outbox/compose.html", context, status=status)


def _conflict(request: PersonRequest, form: DraftForm, draft: Message) -> HttpResponse:
    stored = Message.objects.select_related("draft").get(pk=draft.pk)
    context = {"form": form, "draft": stored, "folder": "drafts", "had_files": bool(form.uploads)}
    return render(request, "outbox/compose_conflict.html", context, status=409)
