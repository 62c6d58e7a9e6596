"""Access to messages of other people and of apps: what Django's permissions allow to staff.

The owner of a message may do everything with it and needs no permission. Staff see every message
with the view permission, as in the admin, and decide about it with the change permission. The
content is guarded by a permission of its own: a message may hold a link that resets a password.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    from outbox.models.message import Message

READ_SOURCE = "read_source"


def can_view_others(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user sees messages that are not their own; to change implies to view."""
    return _has(user, "view_message") or _has(user, "change_message")


def can_change_others(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may cancel, retry, hold and resolve messages of others."""
    return _has(user, "change_message")


def can_read(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user may read the content of a message that they can view."""
    return is_owner(user, message) or (can_view_others(user) and _has(user, READ_SOURCE))


def can_change(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user may decide about the delivery of a message."""
    return is_owner(user, message) or can_change_others(user)


def is_owner(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the message is the user's own; a message of an app is nobody's."""
    return message.owner_id is not None and message.owner_id == user.pk


def _has(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    # A user model of the project's own may have neither of the two.
    has_perm: Callable[[str], bool] = getattr(user, "has_perm", lambda _name: False)
    return getattr(user, "is_staff", False) and has_perm(f"outbox.{permission}")
