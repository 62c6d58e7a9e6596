"""Add files to an open draft, and remove them, without leaving the page."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from outbox import api
from outbox.api.reasons import in_words
from outbox.exceptions import InvalidMessageError, NotADraftError, StorageWriteError
from outbox.mail.html import PICTURE_TYPES
from outbox.models import Attachment, Message
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose import pictures
from outbox.web.compose.autosave import no_longer_a_draft, problem_response, render_file_list
from outbox.web.compose.forms import ManyFilesField, content_type_of
from outbox.web.parameters import integer


@signed_in
@require_POST
def attachments(request: UserRequest, pk: int) -> HttpResponse:
    """Add the uploaded files, or remove the one named; return the list as it is now."""
    draft = get_object_or_404(Message.objects.visible_to(request.user), pk=pk)
    try:
        added = _attach(request, draft)
        removed = draft.attachments.filter(pk=integer(request.POST.get("remove")) or 0).first()
        if removed:
            api.detach(draft, removed.pk)
    except (InvalidMessageError, StorageWriteError) as error:
        return problem_response(in_words(error))
    except ValidationError as error:
        return problem_response(" ".join(error.messages))
    except NotADraftError:
        return no_longer_a_draft()
    return JsonResponse(
        {
            "list": render_file_list(request, draft),
            "pictures": [pictures.picture_url(one) for one in added if one.content_id],
            "removed": pictures.picture_urls(removed) if removed else [],
        }
    )


def _attach(request: UserRequest, draft: Message) -> list[Attachment]:
    """Attach the uploaded files; a picture of the text gets a Content-ID."""
    added = []
    for upload in ManyFilesField(required=False, allow_empty_file=True).clean(
        request.FILES.getlist("attachments")
    ):
        content_type = content_type_of(upload)
        is_inline = "inline" in request.POST and content_type in PICTURE_TYPES
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
