"""Save a draft while it is written, without leaving the page.

The page sends all it holds, and hears what it needs to go on: where the draft is now, its version,
and which addresses could not be written to. Files take a way of their own.
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
from outbox.conf import get_conf
from outbox.exceptions import DraftConflictError, InvalidMailError, NotADraftError
from outbox.models import Message
from outbox.web.compose.answering import answer_of, carried_paths
from outbox.web.compose.forms import DraftForm
from outbox.web.compose.pictures import attach_missing
from outbox.web.compose.unsaved import is_of_other_user
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in

PAGE_MAX = 22  # characters of the mark of a page
_MARK = re.compile(rf"[A-Za-z0-9-]{{1,{PAGE_MAX}}}")


@signed_in
@require_POST
def save(request: PersonRequest, pk: int | None = None) -> HttpResponse:
    """Keep what was typed so far; the first time, it becomes a draft."""
    if is_of_other_user(request):
        return JsonResponse({}, status=HTTPStatus.FORBIDDEN)
    draft = begun_here(request) if pk is None else _own(request, pk)
    answer = stored_answer(request) if draft is None else None
    form = DraftForm(request.user, request.POST, draft=draft, answer=answer)
    form.is_valid()
    try:
        saved = save_form(request, form)
    except DraftConflictError:
        return JsonResponse({"conflict": True}, status=HTTPStatus.CONFLICT)
    except NotADraftError:
        problem = _("This mail was sent or discarded meanwhile; nothing is saved any more.")
        return JsonResponse({"problem": problem}, status=HTTPStatus.GONE)
    return JsonResponse(
        {
            "draft": reverse("outbox:draft", args=[saved.pk]),
            "save": reverse("outbox:draft-save", args=[saved.pk]),
            "files": reverse("outbox:draft-files", args=[saved.pk]),
            "version": saved.draft.version,
            "wrong": {
                name: {"entries": list(problems), "problem": "\n".join(problems.values())}
                for name, problems in form.wrong_recipients.items()
            },
            # Of an answer, the files have become the draft's own.
            "list": list_of_files(request, saved) if pk is None else None,
        }
    )


def save_form(request: PersonRequest, form: DraftForm) -> Message:
    """Save the form as its draft. Raises DraftConflictError and NotADraftError."""
    with transaction.atomic(using=get_conf().database):
        saved = _stored(request, form)
        try:
            if form.answer is not None:
                paths = carried_paths(request.POST)
                api.link_answer(saved, form.answer, paths=paths)
            attach_missing(saved, form.pictures)
        except InvalidMailError as error:
            form.object("attachments", str(error))
    return saved


def stored_answer(request: PersonRequest) -> api.PreparedAnswer | None:
    """Return the answer that is stored with this save.

    None when the user may not read the original any more: what was typed is saved all the same.
    """
    try:
        return answer_of(request, request.POST)
    except (Http404, BadRequest, InvalidMailError):
        return None


def list_of_files(request: PersonRequest, draft: Message) -> str:
    """Render the list of a draft's files."""
    context = {"draft": draft, "attachments": list(draft.attachments.all())}
    return render_to_string("outbox/_files.html", context, request)


def _stored(request: PersonRequest, form: DraftForm) -> Message:
    return api.save_draft(
        request.user,
        form.as_fields(),
        draft=form.draft,
        version=None if form.draft is None else number(request.POST.get("version")) or 0,
        page=page_mark(request),
    )


def page_mark(request: PersonRequest) -> str:
    """Return the mark of the page that was typed in; what is not a mark counts as none."""
    mark = request.POST.get("form", "")
    return mark if _MARK.fullmatch(mark) else ""


def begun_here(request: PersonRequest) -> Message | None:
    """Return the mail that this very page already began.

    A browser may send a form twice: back to the composer after Send, and Send again, or a save
    whose answer got lost. The second time concerns the mail of the first, instead of a second one.
    """
    return api.begun_on(request.user, page_mark(request))


def _own(request: PersonRequest, pk: int) -> Message:
    return get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
