"""Answers in the composer: a reply, forward or copy is stored with its first change.

Until then the page holds all of it, and the form names the original. What the user may read of the
original is decided again when the draft is stored.
"""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from outbox import api
from outbox.models import Message, Status
from outbox.web.compose import pictures
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in

ORIGINAL, KIND = "from", "as"  # which message is answered, and how
CARRIED, LEFT_OUT = "carried", "leave_out"  # paths of its files


def address_of(original: Message, kind: api.Answer) -> str:
    """Return the address of a composer that begins this answer."""
    return f"{reverse('outbox:compose')}?{urlencode({ORIGINAL: str(original.pk), KIND: str(kind)})}"


def answer_of(request: PersonRequest, data: QueryDict) -> api.PreparedAnswer | None:
    """Return the answer that the data asks for; None for a message of its own.

    Raises Http404 when the user may not read the original, BadRequest for an unknown kind, and
    InvalidMailError when the files are too large.
    """
    if ORIGINAL not in data:
        return None
    original = _original(request, number(data.get(ORIGINAL)))
    if original is None:
        raise Http404
    return api.prepare_answer(original, kind_of(data), actor=request.user)


def kind_of(data: QueryDict) -> api.Answer:
    """Return the kind of answer. Raises BadRequest."""
    try:
        return api.Answer(data.get(KIND, ""))
    except ValueError as error:
        raise BadRequest from error


def carried_paths(data: QueryDict) -> set[str]:
    """Return the files of the original that the user did not remove."""
    return set(data.getlist(CARRIED)) - {data.get(LEFT_OUT, "")}


@signed_in
@require_safe
@cache_control(private=True, max_age=86_400, immutable=True)
def original_picture(request: PersonRequest, pk: int) -> HttpResponse:
    """Return a picture of the original's text, for the editor."""
    original = _original(request, pk)
    if original is None:
        raise Http404
    wanted = request.GET.get("cid", "")
    for part in api.files_of(original):
        if wanted and part.content_id == wanted and part.content_type in pictures.TYPES:
            return pictures.response_of(part.data, part.content_type)
    raise Http404


def _original(request: PersonRequest, pk: int | None) -> Message | None:
    readable = Message.objects.visible_to(request.user).exclude(status=Status.DRAFT)
    return readable.filter(pk=pk or 0).first()
