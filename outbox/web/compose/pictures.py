"""Pictures inside a composed text: `cid:` in what is kept and sent, an address of ours to edit it.

Only types that every browser merely draws are shown; any other file is an attachment.
"""

from collections.abc import Sequence

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


def to_content_ids(html: str, draft: Message | None) -> str:
    """Name pictures by their Content-ID, as the mail will."""
    for picture in _pictures(draft):
        html = html.replace(f'src="{address_of(picture)}"', f'src="cid:{picture.content_id}"')
    return html


def shown_from(html: str, draft: Message) -> str:
    """Name pictures by where the editor finds them."""
    for picture in _pictures(draft) if "cid:" in html else ():
        html = html.replace(f'src="cid:{picture.content_id}"', f'src="{address_of(picture)}"')
    return html


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
