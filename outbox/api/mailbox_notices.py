"""Notify the owner of a mailbox by email that it is not fetched until something is changed.

As with a rejected account, the email is sent through another account if there is one. The page of
the account and the banner show the reason in any case.
"""

from __future__ import annotations

import logging

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from outbox.api.links import link_to
from outbox.api.owner_notices import Notice, notify_owner
from outbox.api.reasons import in_words
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import Account, Mailbox
from outbox.models.reasons import has_code
from outbox.reasons import ReasonCode

logger = logging.getLogger(__name__)
_AT_ONCE = 20
# A mailbox without room is looked at again, but receives nothing before its owner has made room.
_WAITS = Q(next_fetch_at=None) | has_code("reason", ReasonCode.INBOX_FULL)


def paused_mailboxes(user: User | AnonymousUser) -> QuerySet[Mailbox]:
    """Return the user's own mailboxes that are not fetched until something is changed."""
    rows = Mailbox.objects.using(get_conf().database).filter(
        _WAITS, account__in=Account.objects.owned_by(user), is_active=True
    )
    return rows.exclude(reason="").select_related("account").order_by("pk")


def notify_owners_of_mailboxes(using: str) -> int:
    """Queue an email about each mailbox that waits for a person since; return how many."""
    try:
        return sum(_notify(row, using) for row in _unnotified(using))
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Owners of mailboxes were not notified: %s", error)
        return 0


def _unnotified(using: str) -> list[Mailbox]:
    paused = Mailbox.objects.using(using).filter(_WAITS, is_active=True, notified_at=None)
    owned = paused.exclude(reason="").filter(account__is_active=True, account__owner__isnull=False)
    return list(owned.select_related("account").order_by("pk")[:_AT_ONCE])


def _notify(row: Mailbox, using: str) -> bool:
    """Mark a mailbox as reported, and queue the email. Another process does neither."""
    same = Mailbox.objects.using(using).filter(_WAITS, pk=row.pk, notified_at=None)
    if not same.update(notified_at=database_now(using)):
        return False
    return notify_owner(row.account, lambda: _notice_of(row), using)


def _notice_of(row: Mailbox) -> Notice:
    name = {"name": row.account.name}
    subject = _("Check the mailbox of the account “%(name)s”")
    first = _("No messages are fetched for the account “%(name)s” until you check its mailbox.")
    if row.lacks_room:
        subject = _("No room for received messages of the account “%(name)s”")
        first = _(
            "No messages are fetched for the account “%(name)s” until you delete received messages."
        )
    return subject % name, [
        first % name,
        in_words(row.reason),
        _("The messages stay on the server and are fetched afterwards."),
        link_to("outbox:account-mailbox", row.pk),
    ]
