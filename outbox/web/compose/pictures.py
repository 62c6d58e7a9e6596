"""Pictures inside a composed text: `cid:` in what is kept and sent, an address of ours to edit it.

Only types that every browser merely draws are shown; any other file is an attachment.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from django.http import HttpResponse
from django.urls import reverse
from django.utils.crypto import get_random_string

from outbox import api
from outbox.mail.data_pictures import DataPicture
from outbox.mail.html import PICTURE_TYPES as TYPES
from outbox.models import Attachment, Message

__all__ = ["TYPES"]


def new_content_id() -> str:
    """Make a Content-ID nobody else has (RFC 2045 7)."""
    return f"{get_random_string(24)}@outbox.invalid"


def address_of(picture: Attachment) -> str:
    """Return where the editor finds the picture."""
    return reverse("outbox:picture", args=[picture.message_id, picture.pk])


def addresses_of(file: Attachment) -> list[str]:
    """Return every address by which an open editor may display this picture."""
    if not file.content_id:
        return []
    original = file.message.made_from_id
    return [address_of(file), *([original_address(original, file.content_id)] if original else [])]


def original_address(original: int, content_id: str) -> str:
    """Return the address of a picture of the original, before the answer is stored."""
    address = reverse("outbox:original-picture", args=[original])
    return f"{address}?cid={quote(content_id, safe='')}"


def to_content_ids(html: str, draft: Message | None, original: int | None = None) -> str:
    """Name pictures by their Content-ID, as the message will; `original` is what it answers."""
    for picture in _pictures(draft):
        html = html.replace(f'src="{address_of(picture)}"', f'src="cid:{picture.content_id}"')
    if original is None:
        return html
    address = re.escape(reverse("outbox:original-picture", args=[original]))
    return re.sub(
        rf'src="{address}\?cid=([^"]*+)"', lambda match: f'src="cid:{unquote(match[1])}"', html
    )


def shown_from(html: str, draft: Message) -> str:
    """Name pictures by where the editor finds them."""
    for picture in _pictures(draft) if "cid:" in html else ():
        html = html.replace(f'src="cid:{picture.content_id}"', f'src="{address_of(picture)}"')
    return html


def shown_from_original(prepared: api.PreparedAnswer) -> str:
    """Return the HTML of an answer that is not stored, with the pictures of its original."""
    html = prepared.fields.html
    for file in prepared.files:
        if content_id := file.part.content_id:
            shown = original_address(prepared.original.pk, content_id)
            html = html.replace(f'src="cid:{content_id}"', f'src="{shown}"')
    return html


def response_of(data: bytes, content_type: str) -> HttpResponse:
    """Return a picture as a response in which nothing else can run."""
    response = HttpResponse(data, content_type=content_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def unused(draft: Message, html: str) -> list[Attachment]:
    """Return the pictures that were put into the text and taken out again."""
    return [one for one in _pictures(draft) if f"cid:{one.content_id}" not in html]


def attach_missing(draft: Message, pictures: Sequence[DataPicture]) -> None:
    """Attach the pictures that the text held itself; those of the last save are there already.

    Raises InvalidMailError when the message would grow over the limit.
    """
    present = {one.content_id for one in _pictures(draft)} if pictures else set()
    for one in pictures:
        if one.content_id not in present:
            api.attach(draft, one.name, one.content_type, one.data, content_id=one.content_id)


def _pictures(draft: Message | None) -> list[Attachment]:
    return list(draft.attachments.exclude(content_id="")) if draft else []
