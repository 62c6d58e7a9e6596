"""Pictures in a composed text: `cid:` URLs in what is stored and sent, URLs of this site to edit.

Only raster types that every browser displays are allowed; any other file is an attachment.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.views.decorators.http import require_safe

from outbox import api
from outbox.api.received_replies import files_of_received
from outbox.mail.data_pictures import DataPicture
from outbox.mail.html import PICTURE_TYPES
from outbox.mail.mime_writer import AttachmentPart
from outbox.models import Attachment, Message
from outbox.web.auth import UserRequest, signed_in
from outbox.web.compose.original import own_received, readable_original
from outbox.web.downloads.responses import sandboxed_response


@signed_in
@require_safe
def picture(request: UserRequest, pk: int, picture: int) -> HttpResponse:
    """Return a picture of a draft's text, for the editor."""
    visible = Attachment.objects.filter(message__in=Message.objects.visible_to(request.user))
    stored = get_object_or_404(visible.exclude(content_id=""), pk=picture, message=pk)
    if stored.content_type not in PICTURE_TYPES:
        raise Http404
    try:
        return sandboxed_response(stored.read(), stored.content_type)
    except OSError as error:
        raise Http404 from error


@signed_in
@require_safe
def original_picture(request: UserRequest, pk: int) -> HttpResponse:
    """Return a picture of the original's text, for the editor."""
    return _picture_of(request, api.files_of(readable_original(request, pk)))


@signed_in
@require_safe
def received_picture(request: UserRequest, pk: int) -> HttpResponse:
    """Return a picture of a received original's text, for the editor."""
    return _picture_of(request, files_of_received(own_received(request, pk)))


def _picture_of(request: UserRequest, files: Sequence[AttachmentPart]) -> HttpResponse:
    wanted = request.GET.get("cid", "")
    for part in files:
        if wanted and part.content_id == wanted and part.content_type in PICTURE_TYPES:
            return sandboxed_response(part.data, part.content_type)
    raise Http404


def new_content_id() -> str:
    """Return a new unique Content-ID (RFC 2045 7)."""
    return f"{get_random_string(24)}@outbox.invalid"


def picture_url(picture: Attachment) -> str:
    """Return the URL by which the editor displays the picture."""
    return reverse("outbox:picture", args=[picture.message_id, picture.pk])


def picture_urls(file: Attachment) -> list[str]:
    """Return every URL by which an open editor may display this file; none for other files."""
    if not file.content_id:
        return []
    original = pictures_of_original(file.message)
    return [picture_url(file), *([_picture_in(original, file.content_id)] if original else [])]


def pictures_of_original(made: Message | api.PreparedReply | None) -> str:
    """Return the URL of the pictures of what was made into a draft, empty if there is none."""
    if isinstance(made, api.PreparedReply):
        sent = None if made.is_of_received else made.original.pk
        received = made.original.pk if made.is_of_received else None
    else:
        sent = made.made_from_id if made else None
        received = made.made_from_received_id if made else None
    if received is not None:
        return reverse("outbox:received-picture", args=[received])
    return reverse("outbox:original-picture", args=[sent]) if sent is not None else ""


def _picture_in(original: str, content_id: str) -> str:
    return f"{original}?cid={quote(content_id, safe='')}"


def urls_to_content_ids(html: str, draft: Message | None, original: str = "") -> str:
    """Replace the URLs of pictures with their Content-IDs.

    `original` is the URL of the pictures of what the draft was made from.
    """
    for picture in _pictures(draft):
        html = html.replace(f'src="{picture_url(picture)}"', f'src="cid:{picture.content_id}"')
    if not original:
        return html
    return re.sub(
        rf'src="{re.escape(original)}\?cid=([^"]*+)"',
        lambda match: f'src="cid:{unquote(match[1])}"',
        html,
    )


def content_ids_to_urls(html: str, draft: Message) -> str:
    """Replace the Content-IDs of a draft's pictures with their URLs."""
    for picture in _pictures(draft) if "cid:" in html else ():
        html = html.replace(f'src="cid:{picture.content_id}"', f'src="{picture_url(picture)}"')
    return html


def html_with_original_urls(prepared: api.PreparedReply) -> str:
    """Return the HTML of a message that is not stored, with the URLs of its original's pictures."""
    html = prepared.fields.html
    for file in prepared.files:
        if content_id := file.part.content_id:
            url = _picture_in(pictures_of_original(prepared), content_id)
            html = html.replace(f'src="cid:{content_id}"', f'src="{url}"')
    return html


def unused_pictures(draft: Message, html: str) -> list[Attachment]:
    """Return the pictures of the draft that its text does not display any more."""
    return [one for one in _pictures(draft) if f"cid:{one.content_id}" not in html]


def attach_missing(draft: Message, pictures: Sequence[DataPicture]) -> None:
    """Attach the `data:` pictures of the text that an earlier save has not attached yet.

    Raises InvalidMessageError when the message would exceed the size limit.
    """
    present = {one.content_id for one in _pictures(draft)} if pictures else set()
    for one in pictures:
        if one.content_id not in present:
            api.attach(draft, one.name, one.content_type, one.data, content_id=one.content_id)


def _pictures(draft: Message | None) -> list[Attachment]:
    return list(draft.attachments.exclude(content_id="")) if draft else []
