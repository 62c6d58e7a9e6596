"""Access to messages: what their owners may do, and what Django's permissions allow to staff.

The owner of a message may do everything with it and needs no permission. With the view permission,
staff see messages of others, as in the admin. With the change permission, they act on the delivery.
The content has a permission of its own, since a message may contain a link that resets a password.
A sensitive message is readable by no user, not even by its owner.

The permissions apply to the accounts of the user's groups (`Account.staff_groups`). With
`view_all_accounts`, they apply to every account, to messages without one, and to the pages that are
about the whole site (docs/decisions/0024).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db.models import Q

from outbox.models.account import VIEW_ALL_ACCOUNTS, Account

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    from outbox.models.inbound import InboundMessage
    from outbox.models.message import Message

READ_SOURCE = "read_source"


def sees_all_accounts(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user's permissions apply to every account, and to the whole site."""
    return _has(user, VIEW_ALL_ACCOUNTS)


def of_visible_accounts(user: AbstractBaseUser | AnonymousUser, path: str = "account") -> Q:
    """Return the condition on rows for the user's permissions to apply.

    `path` leads from a row to its account, and is empty for accounts.
    """
    if sees_all_accounts(user):
        return Q()
    return Q(**{f"{path or 'pk'}__in": Account.objects.of_staff_groups(user).values("pk")})


def can_view_others(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may view messages of others; the change permission includes this."""
    return _has(user, "view_message") or _has(user, "change_message")


def can_change_others(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may cancel, retry, hold and resolve messages of others."""
    return _has(user, "change_message")


def can_view_site(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may view what is about the whole outbox, as on the dashboard."""
    return can_view_others(user) and sees_all_accounts(user)


def can_change_site(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may pause and resume delivery."""
    return can_change_others(user) and sees_all_accounts(user)


def can_view_accounts(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may view accounts as staff; the change permission includes this."""
    return _has(user, "view_account") or _has(user, "change_account")


def viewable_accounts(user: AbstractBaseUser | AnonymousUser) -> Q:
    """Return the condition on accounts to be the user's own, or visible to the user as staff."""
    own = Q(owner=user.pk, owner__isnull=False)
    if not can_view_accounts(user):
        return own
    return Q() if sees_all_accounts(user) else own | of_visible_accounts(user, "")


def can_suppress(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether the user may add addresses to the lists of the accounts that they see."""
    return _has(user, "add_suppression")


def can_suppress_for_others(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user may add addresses to the list of a message's account."""
    return can_suppress(user) and _applies_to(user, message)


def can_change_list(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user owns the account of a message, or manages its list as staff."""
    account = message.account
    is_own = account is not None and account.owner_id is not None and account.owner_id == user.pk
    return is_own or can_suppress_for_others(user, message)


def can_read(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user may read the content of a message that they can view."""
    if message.is_sensitive:
        return False
    if is_owner(user, message):
        return True
    return can_view_others(user) and _has(user, READ_SOURCE) and _applies_to(user, message)


def can_read_received(user: AbstractBaseUser | AnonymousUser, message: InboundMessage) -> bool:
    """Return whether the user may read the content of a received message that they can view."""
    if is_owner(user, message):
        return True
    return can_view_others(user) and _has(user, READ_SOURCE) and _applies_to(user, message)


def can_change(user: AbstractBaseUser | AnonymousUser, message: Message) -> bool:
    """Return whether the user may act on the delivery of a message."""
    return is_owner(user, message) or (can_change_others(user) and _applies_to(user, message))


def is_owner(user: AbstractBaseUser | AnonymousUser, message: Message | InboundMessage) -> bool:
    """Return whether the user owns the message; an app message has no owner."""
    return message.owner_id is not None and message.owner_id == user.pk


def _applies_to(user: AbstractBaseUser | AnonymousUser, message: Message | InboundMessage) -> bool:
    if sees_all_accounts(user):
        return True
    seen = Account.objects.using(message._state.db).of_staff_groups(user)
    return message.account_id is not None and seen.filter(pk=message.account_id).exists()


def _has(user: AbstractBaseUser | AnonymousUser, permission: str) -> bool:
    # A custom user model may lack both attributes.
    has_perm: Callable[[str], bool] = getattr(user, "has_perm", lambda _name: False)
    return getattr(user, "is_staff", False) and has_perm(f"outbox.{permission}")
