"""Put files into a draft while it is written, take them out, and show the pictures of its text."""

from __future__ import annotations

from http import HTTPStatus

from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST, require_safe

from outbox import api
from outbox.api.phrases import translate
from outbox.exceptions import InvalidMailError, NotADraftError
from outbox.models import Attachment, Message
from outbox.web.compose import pictures
from outbox.web.compose.forms import ManyFilesField, content_type_of
from outbox.web.compose.saving import list_of_files
from outbox.web.numbers import number
from outbox.web.person import PersonRequest, signed_in


@signed_in
@require_POST
def files(request: PersonRequest, pk: int) -> HttpResponse:
    """Add the files sent along, or remove the one named; answer with the list as it is now."""
    draft = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    try:
        added = _add(request, draft)
        removed = draft.attachments.filter(pk=number(request.POST.get("remove")) or 0).first()
        if removed:
            api.detach(draft, removed.pk)
    except InvalidMailError as error:
        return _refused(translate(str(error)))
    except ValidationError as error:
        return _refused(" ".join(error.messages))
    except NotADraftError:
        problem = _("This mail was sent or discarded meanwhile; nothing is saved any more.")
        return JsonResponse({"problem": problem}, status=HTTPStatus.GONE)
    return JsonResponse(
        {
            "list": list_of_files(request, draft),
            "pictures": [pictures.address_of(one) for one in added if one.content_id],
            "gone": pictures.addresses_of(removed) if removed else [],
        }
    )


def _refused(problem: str) -> JsonResponse:
    return JsonResponse({"problem": problem}, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _add(request: PersonRequest, draft: Message) -> list[Attachment]:
    """Attach what came; a picture for the text gets a Content-ID."""
    added = []
    for upload in ManyFilesField(required=False, allow_empty_file=True).clean(
        request.FILES.getlist("attachments")
    ):
        content_type = content_type_of(upload)
        is_inline = "inline" in request.POST and content_type in pictures.TYPES
        added.append(
            api.attach(
                draft,
                upload.name or "",
                content_type,
                upload.read(),
                content_id=pictures.new_content_id() if is_inline else "",
            )
        )
    return added


@signed_in
@require_safe
@cache_control(private=True, max_age=86_400, immutable=True)
def picture(request: PersonRequest, pk: int, picture: int) -> HttpResponse:
    """Show a picture of the text in the editor."""
    mine = Attachment.objects.filter(message__in=Message.objects.visible_to(request.user))
    kept = get_object_or_404(mine.exclude(content_id=""), pk=picture, message=pk)
    if kept.content_type not in pictures.TYPES:
        raise Http404
    try:
        return pictures.response_of(kept.read(), kept.content_type)
    except OSError as error:
        raise Http404 from error
