"""Notify the owner of a mailbox by email that it is not fetched until something is changed.

As with a rejected account, the email is sent through another account if there is one. The page of
the account and the banner show the reason in any case.
"""

from __future__ import annotations

import logging

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from outbox.api.failure_email import Addressee, addressee_of, working_account
from outbox.api.links import link_to
from outbox.api.reasons import in_words
from outbox.api.system_email import queue_system_email
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.exceptions import OutboxError
from outbox.models import Account, Mailbox, Origin
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
    addressee = addressee_of(row.account.owner_id, using)
    if addressee is None:
        return False
    sender = working_account(addressee.owner, set(), addressee.to, using)
    if sender is None:
        return False
    try:
        _queue(row, addressee, sender)
    except OutboxError as error:
        logger.warning("No email about mailbox %d could be queued: %s", row.pk, error)
        return False
    return True


def _queue(row: Mailbox, addressee: Addressee, sender: Account) -> None:
    name = {"name": row.account.name}
    with translation.override(addressee.language), timezone.override(addressee.time_zone):
        subject = _("Check the mailbox of the account “%(name)s”")
        first = _("No messages are fetched for the account “%(name)s” until you check its mailbox.")
        if row.lacks_room:
            subject = _("No room for received messages of the account “%(name)s”")
            first = _(
                "No messages are fetched for the account “%(name)s” until you delete received "
                "messages."
            )
        lines = [
            first % name,
            in_words(row.reason),
            _("The messages stay on the server and are fetched afterwards."),
            link_to("outbox:account-mailbox", row.pk),
        ]
        queue_system_email(
            to=addressee.to,
            subject=subject % name,
            text="\n\n".join(filter(None, lines)),
            account=sender,
            origin=Origin.REPORT,
            owner=addressee.owner,
        )
