"""Emails that notify the owner of an account of what has to be done about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from django.utils import timezone, translation

from outbox.api.failure_email import addressee_of, working_account
from outbox.api.system_email import queue_system_email
from outbox.exceptions import OutboxError
from outbox.models import Account, Origin

logger = logging.getLogger(__name__)
Notice = tuple[str, list[str]]  # a subject and paragraphs, of which some may be empty


def notify_owner(
    account: Account, write: Callable[[], Notice], using: str, *, failing: Collection[int] = ()
) -> bool:
    """Queue an email to the owner of an account, through one that is not among the failing ones.

    `write` is called in the owner's language. Return False if no email can be queued.
    """
    addressee = addressee_of(account.owner_id, using)
    if addressee is None:
        return False
    sender = working_account(addressee.owner, failing, addressee.to, using)
    if sender is None:
        return False
    with translation.override(addressee.language), timezone.override(addressee.time_zone):
        subject, paragraphs = write()
        try:
            queue_system_email(
                to=addressee.to,
                subject=subject,
                text="\n\n".join(filter(None, paragraphs)),
                account=sender,
                origin=Origin.REPORT,
                owner=addressee.owner,
            )
        except OutboxError as error:
            logger.warning("No email about account %s could be queued: %s", account.name, error)
            return False
    return True
