"""Look up a message: 404 if the user may not view it, 403 if the user may only view it."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404

from outbox.api.message_actions import MessageAction
from outbox.api.reading import record_reading
from outbox.models import Message, Status
from outbox.models.access import can_change, can_read, can_view_others, is_owner
from outbox.models.message import MessageQuerySet
from outbox.web.auth import UserRequest


@dataclass(frozen=True, slots=True)
class Access:
    """What the page of a message offers to one user."""

    is_owner: bool
    can_read: bool
    can_change: bool
    can_open_admin: bool

    @classmethod
    def of(cls, request: UserRequest, message: Message) -> Access:
        """Return the access of the signed-in user."""
        user = request.user
        return cls(
            is_owner=is_owner(user, message),
            can_read=can_read(user, message),
            can_change=can_change(user, message),
            can_open_admin=can_view_others(user),
        )


def get_viewable(request: UserRequest, pk: int, messages: MessageQuerySet | None = None) -> Message:
    """Return the message, or a draft of the user. Raises Http404."""
    messages = Message.objects.all() if messages is None else messages
    return get_object_or_404(messages.viewable_by(request.user), pk=pk)


def get_readable(request: UserRequest, pk: int, messages: MessageQuerySet | None = None) -> Message:
    """Return a message whose content the user may read, and record the reading.

    Raises Http404 and PermissionDenied.
    """
    message = get_viewable(request, pk, messages)
    if not can_read(request.user, message):
        raise PermissionDenied
    record_reading(request, message)
    return message


def get_actionable(request: UserRequest, pk: int, action: MessageAction) -> Message:
    """Return a queued message on which the user may perform the action.

    Raises Http404 and PermissionDenied.
    """
    message = get_viewable(request, pk, Message.objects.exclude(status=Status.DRAFT))
    if not action.permission.allows(request.user, message):
        raise PermissionDenied
    return message
