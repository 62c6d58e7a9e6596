"""Notify the owner of an account by email that it has to be connected again.

The email is sent through another account. Without one, the banner on the pages has to do.
"""

from __future__ import annotations

import logging

from django.utils import timezone, translation
from django.utils.translation import gettext as _

from outbox.api.failure_email import Addressee, addressee_of, working_account
from outbox.api.links import link_to
from outbox.api.reasons import in_words
from outbox.api.system_email import queue_system_email
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.exceptions import OutboxError
from outbox.models import Account, OAuthToken, Origin

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
    addressee = addressee_of(row.account.owner_id, using)
    if addressee is None:
        return False
    sender = working_account(addressee.owner, {row.account_id}, addressee.to, using)
    if sender is None:
        return False
    try:
        _queue(row, addressee, sender)
    except OutboxError as error:
        logger.warning("No email about account %d could be queued: %s", row.account_id, error)
        return False
    return True


def _queue(row: OAuthToken, addressee: Addressee, sender: Account) -> None:
    name = row.account.name
    with translation.override(addressee.language), timezone.override(addressee.time_zone):
        lines = [
            _("The account “%(name)s” cannot send messages until you connect it again.")
            % {"name": name},
            in_words(row.reason),
            _("Its messages wait and are sent afterwards."),
            link_to("outbox:account", row.account_id),
        ]
        queue_system_email(
            to=addressee.to,
            subject=_("Connect the account “%(name)s” again") % {"name": name},
            text="\n\n".join(filter(None, lines)),
            account=sender,
            origin=Origin.REPORT,
            owner=addressee.owner,
        )
