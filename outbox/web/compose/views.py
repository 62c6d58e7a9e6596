"""Write, save, send and discard a draft, and undo sending.

Each draft has one URL. What was typed is saved first, so that an invalid field or attachment loses
no text. Then the action of the pressed button follows.
"""

from __future__ import annotations

from http import HTTPStatus

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from outbox import api
from outbox.api.message_actions import MESSAGE_ACTIONS
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.exceptions import (
    DraftConflictError,
    InvalidMessageError,
    NotADraftError,
    StorageWriteError,
)
from outbox.models import Message
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose import pictures, send_at, signatures
from outbox.web.compose.autosave import (
    PAGE_MARK_LENGTH,
    draft_of_page,
    page_mark,
    prepared_to_store,
    save_form,
)
from outbox.web.compose.forms import DraftForm, content_type_of
from outbox.web.compose.original import REMOVED_FILE, names_original, original_url, prepare
from outbox.web.compose.send_warnings import SendWarning, warnings_for
from outbox.web.compose.unsaved import is_of_other_user, set_saved_cookie
from outbox.web.parameters import integer
from outbox.web.preferences.time_zones import current_zone_label

PREFILLED = ("to", "cc", "bcc", "subject", "text")  # fields that a link to the composer may fill in
EDITOR = "django_prose_editor"  # the app whose editor is used if it is installed


@signed_in
@require_http_methods(["GET", "POST"])
def compose(request: UserRequest) -> HttpResponse:
    """Start a message; the first save makes it a draft with its own URL."""
    if request.method == "POST":
        known = draft_of_page(request)
        return _submit(request, None) if known is None else _edit(request, known)
    if names_original(request.GET):
        return _compose_from_original(request)
    initial = {name: request.GET[name] for name in PREFILLED if name in request.GET}
    form = DraftForm(request.user, initial=initial)
    account = request.preferences.account_among(form.accounts)
    form.initial["account"] = account
    signature = signatures.signature_block(account, request.preferences)
    form.initial["text"] = initial.get("text", "") + signature
    return _page(request, form, None)


@signed_in
@require_http_methods(["GET", "POST"])
def draft(request: UserRequest, pk: int) -> HttpResponse:
    """Edit a draft."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    return _edit(request, message)


@signed_in
@require_http_methods(["GET", "POST"])
def discard(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then delete the draft."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    if request.method == "POST":
        try:
            api.discard_draft(message)
        except NotADraftError:
            messages.warning(request, _("This message was already sent and cannot be discarded."))
            return redirect("outbox:message", pk)
        messages.success(request, _("Draft discarded."))
        return redirect("outbox:folder", "drafts")
    return render(request, "outbox/discard.html", {"message": message, "folder": message.folder})


@signed_in
@require_POST
def undo(request: UserRequest, pk: int) -> HttpResponse:
    """Stop a message that was just sent and open it as a draft again, unless it is too late."""
    message = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    if message.is_draft:  # pressed twice
        return redirect("outbox:draft", pk)
    result = MESSAGE_ACTIONS["undo"].call(message, actor=request.user)
    if result.too_late or not result.stopped:
        messages.warning(request, _("Too late: the message was already being sent."))
        return redirect("outbox:message", pk)
    messages.success(request, _("Sending undone. Your message is back in Drafts."))
    return redirect("outbox:draft", pk)


def _compose_from_original(request: UserRequest) -> HttpResponse:
    try:
        prepared = prepare(request, request.GET)
    except InvalidMessageError as error:
        messages.error(request, in_words(error))
        return redirect(original_url(request.GET))
    return _page(request, DraftForm(request.user, prepared=prepared), None)


def _edit(request: UserRequest, message: Message) -> HttpResponse:
    if not message.is_draft:
        if request.method == "POST":
            messages.warning(request, _("This message was already sent. Nothing was changed."))
        return redirect("outbox:message", message.pk)
    if request.method == "POST":
        return _submit(request, message)
    return _page(request, DraftForm(request.user, draft=message), message)


def _submit(request: UserRequest, draft: Message | None) -> HttpResponse:
    if is_of_other_user(request):
        raise PermissionDenied
    data = send_at.with_preset(request.POST)
    prepared = prepared_to_store(request) if draft is None else None
    form = DraftForm(request.user, data, request.FILES, draft=draft, prepared=prepared)
    form.is_valid()
    if form.is_too_long:
        return _page(request, form, draft)
    try:
        saved = save_form(request, form)
        if draft is None and prepared is None and names_original(request.POST):
            notice = _("You can no longer read the original message. Its files were not attached.")
            messages.warning(request, notice)
        _attach(form, saved)
        return set_saved_cookie(request, _perform(request, form, saved), page_mark(request))
    except DraftConflictError:
        stored = draft or draft_of_page(request)
        assert stored is not None
        return _conflict(request, form, stored)
    except InvalidMessageError as error:
        form.add_api_error(error.field, error)
        return _page(request, form, draft)
    except NotADraftError:
        messages.warning(
            request, _("This message was already sent or discarded. Nothing was changed.")
        )
        stored = draft or draft_of_page(request)
        return redirect("outbox:message", stored.pk) if stored else redirect("outbox:list")


def _attach(form: DraftForm, saved: Message) -> None:
    for upload in form.uploads:
        try:
            api.attach(saved, upload.name or "", content_type_of(upload), upload.read())
        except (InvalidMessageError, StorageWriteError) as error:
            form.add_api_error("attachments", error)


def _perform(request: UserRequest, form: DraftForm, saved: Message) -> HttpResponse:
    """Perform the action of the button that was pressed."""
    if removed := integer(request.POST.get("remove")):
        api.detach(saved, removed)
        return redirect("outbox:draft", saved.pk)
    if REMOVED_FILE in request.POST:
        return redirect("outbox:draft", saved.pk)
    is_sent = "send" in request.POST or send_at.preset_time(request.POST.get("preset")) is not None
    if is_sent:
        form.check_sendable()
    if form.errors:
        return _page(request, form, saved)
    if not is_sent:
        messages.success(request, _("Draft saved."))
        return redirect("outbox:draft", saved.pk)
    return _send(request, form, saved)


def _send(request: UserRequest, form: DraftForm, saved: Message) -> HttpResponse:
    shown = set(request.POST.getlist("shown_warning"))
    warnings = warnings_for(saved)
    if {one.key for one in warnings} - shown:
        return _page(request, form, saved, warnings)
    try:
        for picture in pictures.unused_pictures(saved, saved.draft.html):
            api.detach(saved, picture.pk)
        undo_period = request.preferences.undo_after_send
        api.send_draft(saved, actor=request.user, undo_period=undo_period)
    except InvalidMessageError as error:
        form.add_api_error(error.field, error)
        return _page(request, form, saved)
    except StorageWriteError as error:
        form.add_api_error("attachments", error)
        return _page(request, form, saved)
    return redirect("outbox:message", saved.pk)


def _page(
    request: UserRequest,
    form: DraftForm,
    draft: Message | None,
    warnings: list[SendWarning] | None = None,
) -> HttpResponse:
    if not (form.errors or warnings):
        form.focus(_first_field(form))
    context = {
        "form": form,
        "draft": draft,
        "version": draft.draft.version if draft else "",
        "attachments": list(draft.attachments.all()) if draft else [],
        "prepared": form.prepared if draft is None else None,
        "mark": page_mark(request) or get_random_string(PAGE_MARK_LENGTH),
        "limit": get_conf().max_message_bytes,
        "warnings": warnings,
        "presets": send_at.offered_presets(),
        "zone": current_zone_label(),
        "signatures": signatures.blocks_by_account(form.accounts, request.preferences),
        "has_editor": apps.is_installed(EDITOR),
        "is_rich": _is_rich(request, form, draft),
        "page": "compose",
        "folder": "drafts" if draft else "",
    }
    # 422, so that the browser does not treat the form as submitted.
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors or warnings else HTTPStatus.OK
    return render(request, "outbox/compose.html", context, status=status)


def _first_field(form: DraftForm) -> str:
    """Return the field to focus: the first empty one of To and Subject, else the text."""
    empty = (name for name in ("to", "subject") if not form[name].value())
    return next(empty, "text")


def _is_rich(request: UserRequest, form: DraftForm, draft: Message | None) -> bool:
    """Return whether the editor opens at once: for formatted text, or if the user prefers it."""
    has_text = draft is not None and (draft.draft.html or draft.draft.text.strip())
    if has_text or form.prepared is not None:
        return bool(form["html"].value())
    return request.preferences.writes_rich


def _conflict(request: UserRequest, form: DraftForm, draft: Message) -> HttpResponse:
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
