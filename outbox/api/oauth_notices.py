"""Notify the owner of an account by email that it has to be connected again.

The email is sent through another account. Without one, the banner on the pages has to do.
"""

from __future__ import annotations

import logging

from django.utils.translation import gettext as _

from outbox.api.links import link_to
from outbox.api.owner_notices import Notice, notify_owner
from outbox.api.reasons import in_words
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import OAuthToken

logger = logging.getLogger(__name__)
_AT_ONCE = 20


def notify_owners(using: str) -> int:
    """Queue an email about each account that was rejected since; return how many."""
    try:
        return sum(_notify(row, using) for row in _unnotified(using))
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Owners of rejected accounts were not notified: %s", error)
        return 0


def _unnotified(using: str) -> list[OAuthToken]:
    rejected = OAuthToken.objects.using(using).filter(is_rejected=True, notified_at=None)
    active = rejected.filter(account__is_active=True, account__owner__isnull=False)
    return list(active.select_related("account", "provider").order_by("pk")[:_AT_ONCE])


def _notify(row: OAuthToken, using: str) -> bool:
    """Mark an account as reported, and queue the email. Another process does neither."""
    same = OAuthToken.objects.using(using).filter(
        pk=row.pk, generation=row.generation, is_rejected=True, notified_at=None
    )
    if not same.update(notified_at=database_now(using)):
        return False
    return notify_owner(row.account, lambda: _notice_of(row), using, failing={row.account_id})


def _notice_of(row: OAuthToken) -> Notice:
    name = {"name": row.account.name}
    return _("Connect the account “%(name)s” again") % name, [
        _("The account “%(name)s” cannot send messages until you connect it again.") % name,
        in_words(row.reason),
        _("Its messages wait and are sent afterwards."),
        link_to("outbox:account", row.account_id),
    ]
