"""A reply, forward or copy of another message in the composer, before it is stored.

Until the first change the page holds all of it, and the form names the original. Access to the
original is checked again when the draft is stored.
"""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from outbox import api
from outbox.api.received_replies import RECEIVED_KINDS, prepare_received_reply
from outbox.models import InboundMessage, Message, Status
from outbox.web.auth import UserRequest
from outbox.web.parameters import integer

ORIGINAL, RECEIVED = "from", "received"  # which message: one that was sent or received
KIND, TO_ALL = "as", "all"  # what is made of it; a reply to all recipients
INCLUDED_FILE, REMOVED_FILE = "included", "exclude"  # paths of the original's files


def compose_url(
    original: Message | InboundMessage, kind: api.DraftKind, *, to_all: bool = False
) -> str:
    """Return the URL of a composer that starts with this message."""
    name = RECEIVED if isinstance(original, InboundMessage) else ORIGINAL
    data = {name: str(original.pk), KIND: str(kind)} | ({TO_ALL: "1"} if to_all else {})
    return f"{reverse('outbox:compose')}?{urlencode(data)}"


def names_original(data: QueryDict) -> bool:
    """Return whether the data names a message that something is made of."""
    return ORIGINAL in data or RECEIVED in data


def original_url(data: QueryDict) -> str:
    """Return the URL of the page of the original that the data names. Raises Http404."""
    name = RECEIVED if RECEIVED in data else ORIGINAL
    page = "outbox:received" if name == RECEIVED else "outbox:message"
    key = integer(data.get(name))
    if key is None:
        raise Http404
    return reverse(page, args=[key])


def prepare(request: UserRequest, data: QueryDict) -> api.PreparedReply | None:
    """Return what the data makes of an original; None when the data names none.

    Raises Http404 when the user may not read the original, BadRequest for an unknown kind, and
    InvalidMessageError when the files are too large.
    """
    if RECEIVED in data:
        received = own_received(request, integer(data.get(RECEIVED)))
        kind = kind_of(data)
        if kind not in RECEIVED_KINDS:
            raise BadRequest
        return prepare_received_reply(received, kind, actor=request.user, to_all=TO_ALL in data)
    if ORIGINAL not in data:
        return None
    original = readable_original(request, integer(data.get(ORIGINAL)))
    return api.prepare_reply(original, kind_of(data), actor=request.user)


def kind_of(data: QueryDict) -> api.DraftKind:
    """Return what is made of the original. Raises BadRequest."""
    try:
        return api.DraftKind(data.get(KIND, ""))
    except ValueError as error:
        raise BadRequest from error


def included_paths(data: QueryDict) -> set[str]:
    """Return the paths of the original's files that the user did not remove."""
    return set(data.getlist(INCLUDED_FILE)) - {data.get(REMOVED_FILE, "")}


def readable_original(request: UserRequest, pk: int | None) -> Message:
    """Return the message. Raises Http404 when the user may not read it."""
    readable = Message.objects.visible_to(request.user).exclude(status=Status.DRAFT)
    original = readable.filter(pk=pk or 0, is_sensitive=False).first()
    if original is None:
        raise Http404
    return original


def own_received(request: UserRequest, pk: int | None) -> InboundMessage:
    """Return the user's received message. Raises Http404."""
    original = InboundMessage.objects.visible_to(request.user).filter(pk=pk or 0).first()
    if original is None:
        raise Http404
    return original
