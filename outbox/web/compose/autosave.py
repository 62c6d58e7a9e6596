"""Save a draft while it is written, without leaving the page.

The page sends the whole form. The response has what the page needs to go on: the draft's URLs and
version, and which addresses are not valid. Files are sent apart, see `attachments`.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from outbox import api
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
from outbox.web.compose import original
from outbox.web.compose.forms import DraftForm
from outbox.web.compose.pictures import attach_missing
from outbox.web.compose.unsaved import is_of_other_user
from outbox.web.parameters import integer

PAGE_MARK_LENGTH = 22
_PAGE_MARK = re.compile(rf"[A-Za-z0-9-]{{1,{PAGE_MARK_LENGTH}}}")


@signed_in
@require_POST
def save(request: UserRequest, pk: int | None = None) -> HttpResponse:
    """Save what was typed so far; the first save makes it a draft."""
    if is_of_other_user(request):
        return JsonResponse({}, status=HTTPStatus.FORBIDDEN)
    draft = draft_of_page(request) if pk is None else _visible(request, pk)
    prepared = prepared_to_store(request) if draft is None else None
    form = DraftForm(request.user, request.POST, draft=draft, prepared=prepared)
    form.is_valid()
    if form.is_too_long:
        problems = form.errors.as_data().values()
        return problem_response(
            " ".join(text for of in problems for one in of for text in one.messages)
        )
    try:
        saved = save_form(request, form)
    except DraftConflictError:
        return JsonResponse({"conflict": True}, status=HTTPStatus.CONFLICT)
    except NotADraftError:
        return no_longer_a_draft()
    except InvalidMessageError as error:
        return problem_response(in_words(error))
    invalid = {
        name: {"entries": list(problems), "problem": "\n".join(problems.values())}
        for name, problems in form.invalid_recipients.items()
    }
    if form.too_many_recipients:
        invalid["to"] = {"entries": [], "problem": form.too_many_recipients}
    return JsonResponse(
        {
            "draft": reverse("outbox:draft", args=[saved.pk]),
            "save": reverse("outbox:draft-save", args=[saved.pk]),
            "attachments": reverse("outbox:draft-attachments", args=[saved.pk]),
            "version": saved.draft.version,
            "invalid": invalid,
            "problem": " ".join(map(str, form.errors.get("attachments", ()))),
            # The first save stores copies of the original's files.
            "list": render_file_list(request, saved) if pk is None else None,
        }
    )


def problem_response(problem: str) -> JsonResponse:
    """Return the response to a page whose form or file cannot be saved as it is."""
    return JsonResponse({"problem": problem}, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def no_longer_a_draft() -> JsonResponse:
    """Return the response to a page whose draft was sent or discarded in another tab."""
    problem = _("This message was sent or discarded in another tab. Changes are no longer saved.")
    return JsonResponse({"problem": problem}, status=HTTPStatus.GONE)


def save_form(request: UserRequest, form: DraftForm) -> Message:
    """Save the form as its draft. Raises DraftConflictError and NotADraftError."""
    with transaction.atomic(using=get_conf().database):
        saved = api.save_draft(
            request.user,
            form.as_fields(),
            draft=form.draft,
            version=None if form.draft is None else integer(request.POST.get("version")) or 0,
            page=page_mark(request),
        )
        try:
            if form.prepared is not None:
                paths = original.included_paths(request.POST)
                api.link_reply(saved, form.prepared, paths=paths)
            attach_missing(saved, form.pictures)
        except (InvalidMessageError, StorageWriteError) as error:
            form.add_api_error("attachments", error)
    return saved


def prepared_to_store(request: UserRequest) -> api.PreparedReply | None:
    """Return the reply, forward or copy that this save stores.

    None when the user may not read the original any more: what was typed is saved all the same.
    """
    try:
        return original.prepare(request, request.POST)
    except (Http404, BadRequest, InvalidMessageError):
        return None


def render_file_list(request: UserRequest, draft: Message) -> str:
    """Render the list of a draft's files."""
    context = {"draft": draft, "attachments": list(draft.attachments.all())}
    return render_to_string("outbox/_files.html", context, request)


def page_mark(request: UserRequest) -> str:
    """Return the mark of the page that sent the form; an invalid mark counts as none."""
    mark = request.POST.get("form", "")
    return mark if _PAGE_MARK.fullmatch(mark) else ""


def draft_of_page(request: UserRequest) -> Message | None:
    """Return the message that this very page already created.

    A browser may send a form twice: after Back and a second Send, or when the response to a save
    got lost. The second request concerns the message of the first, and creates no other one.
    """
    return api.begun_on(request.user, page_mark(request))


def _visible(request: UserRequest, pk: int) -> Message:
    return get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
