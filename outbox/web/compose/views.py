"""Compose, keep and send a draft.

One address per draft: what was typed is saved first, whatever it says, so that neither bad input
nor a refused attachment loses a word; then the button that was pressed is obeyed.
"""

from __future__ import annotations

from http import HTTPStatus

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from outbox import api
from outbox.api.phrases import translate
from outbox.conf import get_conf
from outbox.exceptions import DraftConflictError, InvalidMailError, NotADraftError
from outbox.models import Message
from outbox.web.compose import later, pictures, signatures
from outbox.web.compose.advice import Advice, advice_on
from outbox.web.compose.answering import LEFT_OUT, ORIGINAL, answer_of
from outbox.web.compose.forms import DraftForm, content_type_of
from outbox.web.compose.saving import PAGE_MAX, begun_here, page_mark, save_form, stored_answer
from outbox.web.compose.unsaved import is_of_other_user, tell_saved
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in

PREFILLED = ("to", "cc", "bcc", "subject", "text")  # what a link to the composer may bring along
EDITOR = "django_prose_editor"  # the app whose editor is used where it is installed


@signed_in
@require_http_methods(["GET", "POST"])
def compose(request: PersonRequest) -> HttpResponse:
    """Begin a mail; the first save makes it a draft with an address of its own."""
    if request.method == "POST":
        known = begun_here(request)
        return _obey(request, None) if known is None else _edit(request, known)
    if ORIGINAL in request.GET:
        return _begin_answer(request)
    initial = {name: request.GET[name] for name in PREFILLED if name in request.GET}
    form = DraftForm(request.user, initial=initial)
    account = request.preferences.account_among(form.accounts)
    form.initial["account"] = account
    text = signatures.put_below(initial.get("text", ""), account, request.preferences)
    form.initial["text"] = text
    return _page(request, form, None)


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


def _begin_answer(request: PersonRequest) -> HttpResponse:
    try:
        answer = answer_of(request, request.GET)
    except InvalidMailError as error:
        messages.error(request, translate(str(error)))
        return redirect("outbox:message", request.GET[ORIGINAL])
    return _page(request, DraftForm(request.user, answer=answer), None)


def _edit(request: PersonRequest, message: Message) -> HttpResponse:
    if not message.is_draft:
        if request.method == "POST":
            messages.warning(request, _("It was sent already; nothing was changed."))
        return redirect("outbox:message", message.pk)
    if request.method == "POST":
        return _obey(request, message)
    return _page(request, DraftForm(request.user, draft=message), message)


def _obey(request: PersonRequest, draft: Message | None) -> HttpResponse:
    if is_of_other_user(request):
        raise PermissionDenied
    data = later.with_preset(request.POST)
    answer = stored_answer(request) if draft is None else None
    form = DraftForm(request.user, data, request.FILES, draft=draft, answer=answer)
    form.is_valid()
    try:
        saved = save_form(request, form)
        if draft is None and answer is None and ORIGINAL in request.POST:
            notice = _("The original message cannot be read any more. Its files are not attached.")
            messages.warning(request, notice)
        _attach(form, saved)
        return tell_saved(request, _act(request, form, saved), page_mark(request))
    except DraftConflictError:
        kept = draft or begun_here(request)
        assert kept is not None
        return _conflict(request, form, kept)
    except NotADraftError:
        messages.warning(request, _("It was sent or discarded meanwhile; nothing was changed."))
        kept = draft or begun_here(request)
        return redirect("outbox:message", kept.pk) if kept else redirect("outbox:list")


def _attach(form: DraftForm, saved: Message) -> None:
    for upload in form.uploads:
        try:
            api.attach(saved, upload.name or "", content_type_of(upload), upload.read())
        except InvalidMailError as error:
            form.object("attachments", str(error))


def _act(request: PersonRequest, form: DraftForm, saved: Message) -> HttpResponse:
    if removed := number(request.POST.get("remove")):
        api.detach(saved, removed)
        return redirect("outbox:draft", saved.pk)
    if LEFT_OUT in request.POST:
        return redirect("outbox:draft", saved.pk)
    is_sent = "send" in request.POST or later.moment_of(request.POST.get("later")) is not None
    if is_sent:
        form.check_sendable()
    if form.errors:
        return _page(request, form, saved)
    if not is_sent:
        messages.success(request, _("Draft saved."))
        return redirect("outbox:draft", saved.pk)
    return _send(request, form, saved)


def _send(request: PersonRequest, form: DraftForm, saved: Message) -> HttpResponse:
    advised = set(request.POST.getlist("advised"))
    advice = advice_on(saved)
    if {one.key for one in advice} - advised:
        return _page(request, form, saved, advice)
    try:
        for picture in pictures.unused(saved, saved.draft.html):
            api.detach(saved, picture.pk)
        undo_for = request.preferences.undo_after_send
        api.send_draft(saved, actor=request.user, undo_for=undo_for)
    except InvalidMailError as error:
        form.object(error.field, str(error))
        return _page(request, form, saved)
    return redirect("outbox:message", saved.pk)


def _page(
    request: PersonRequest,
    form: DraftForm,
    draft: Message | None,
    advice: list[Advice] | None = None,
) -> HttpResponse:
    if not (form.errors or advice):
        form.begin_at(_first_field(form))
    context = {
        "form": form,
        "draft": draft,
        "version": draft.draft.version if draft else "",
        "attachments": list(draft.attachments.all()) if draft else [],
        "answer": form.answer if draft is None else None,
        "mark": page_mark(request) or get_random_string(PAGE_MAX),
        "limit": get_conf().max_message_bytes,
        "advice": advice,
        "presets": later.choices(),
        "zone": timezone.get_current_timezone_name(),
        "signatures": signatures.by_account(form.accounts, request.preferences),
        "has_editor": apps.is_installed(EDITOR),
        "is_rich": _is_rich(request, form, draft),
        "page": "compose",
        "folder": "drafts" if draft else "",
    }
    # 422 keeps a browser from taking the answer for a finished act.
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors or advice else HTTPStatus.OK
    return render(request, "outbox/compose.html", context, status=status)


def _first_field(form: DraftForm) -> str:
    """Return the field in which one goes on: the text of a reply, else the first empty one."""
    empty = (name for name in ("to", "subject") if not form[name].value())
    return next(empty, "text")


def _is_rich(request: PersonRequest, form: DraftForm, draft: Message | None) -> bool:
    """Tell whether the editor opens at once: for formatted text, and for who always wants it."""
    is_begun = draft is not None and (draft.draft.html or draft.draft.text.strip())
    if is_begun or form.answer is not None:
        return bool(form["html"].value())
    return request.preferences.writes_rich


def _conflict(request: PersonRequest, form: DraftForm, draft: Message) -> HttpResponse:
    stored = Message.objects.select_related("draft").get(pk=draft.pk)
    context = {
        "form": form,
        "draft": stored,
        "mark": page_mark(request),
        "mine": {name: form.data[name] for name in form.fields if name in form.data},
        "folder": "drafts",
        "had_files": bool(form.uploads),
    }
    return render(request, "outbox/compose_conflict.html", context, status=HTTPStatus.CONFLICT)
