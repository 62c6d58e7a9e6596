"""Look up a message for a page: not found where it cannot be seen, forbidden where it only can."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404

from outbox.models import Message, Status
from outbox.models.access import can_change, can_read, can_view_others, is_owner
from outbox.models.message import MessageQuerySet
from outbox.web.person import PersonRequest


@dataclass(frozen=True, slots=True)
class Access:
    """What the page of a message offers to one user."""

    is_owner: bool
    can_read: bool
    can_change: bool
    can_open_admin: bool

    @classmethod
    def of(cls, request: PersonRequest, message: Message) -> Access:
        """Return the access of the user who asks."""
        user = request.user
        return cls(
            is_owner=is_owner(user, message),
            can_read=can_read(user, message),
            can_change=can_change(user, message),
            can_open_admin=can_view_others(user),
        )


def get_viewable(
    request: PersonRequest, pk: int, messages: MessageQuerySet | None = None
) -> Message:
    """Return the message, which may be a draft of the user's own. Raises Http404."""
    found = Message.objects.all() if messages is None else messages
    return get_object_or_404(found.viewable_by(request.user), pk=pk)


def get_readable(
    request: PersonRequest, pk: int, messages: MessageQuerySet | None = None
) -> Message:
    """Return a message whose content the user may read. Raises Http404 and PermissionDenied."""
    message = get_viewable(request, pk, messages)
    if not can_read(request.user, message):
        raise PermissionDenied
    return message


def get_changeable(request: PersonRequest, pk: int) -> Message:
    """Return a queued message that the user may decide about.

    Raises Http404 and PermissionDenied.
    """
    message = get_viewable(request, pk, Message.objects.exclude(status=Status.DRAFT))
    if not can_change(request.user, message):
        raise PermissionDenied
    return message
