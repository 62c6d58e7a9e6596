"""Holding the waiting recipients of an account or a sender, in batches.

A user may have queued a million. The change that forbids sending holds the first batch, and stores
a `PendingHold` if there are more. Sweeps hold the others, and no claim takes them in the meantime.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import F, Max, QuerySet

from outbox.db.clock import database_now
from outbox.models import transitions
from outbox.models.destination import Destination
from outbox.models.message import WAITING_FOLDERS, Origin
from outbox.models.pending_hold import PendingHold
from outbox.models.recipient import Recipient
from outbox.models.states import State
from outbox.reasons import Reason

logger = logging.getLogger(__name__)
AT_ONCE = 500  # recipients in one database transaction
_PRIORITIES = range(10)  # named, so that the index finds one sender among many


def hold(
    account_id: int,
    sender_key: int | None,
    reason: Reason,
    *,
    using: str,
    is_for_composed: bool = False,
) -> int:
    """Hold the waiting recipients of a sender, the first ones at once; return how many these are.

    The number of queries does not depend on the number of recipients.
    """
    highest = Recipient.objects.using(using).aggregate(highest=Max("pk"))["highest"]
    pending = PendingHold(
        account_id=account_id,
        sender_key=sender_key,
        is_for_composed=is_for_composed,
        reason=reason,
        highest_id=highest or 0,
    )
    with transaction.atomic(using=using):
        count, is_last = _hold_batch(pending, using)
        if not is_last:
            pending.held_count = count
            pending.save(using=using)
    return count


def continue_holds(using: str) -> int:
    """Hold the next batch of each pending hold; return the number of recipients."""
    ids = list(PendingHold.objects.using(using).order_by("pk").values_list("pk", flat=True))
    return sum(_continue(pk, using) for pk in ids)


def _continue(pk: int, using: str) -> int:
    with transaction.atomic(using=using):
        rows = PendingHold.objects.using(using).filter(pk=pk)
        pending = rows.select_for_update(skip_locked=True).first()
        if pending is None:
            return 0  # another sweep continues it, or it has ended
        count, is_last = _hold_batch(pending, using)
        if is_last:
            rows.delete()
            logger.info("The %s has ended: %d recipients.", pending, pending.held_count + count)
        else:
            rows.update(held_count=F("held_count") + count)
    return count


def _hold_batch(pending: PendingHold, using: str) -> tuple[int, bool]:
    """Hold some recipients; return how many were held, and whether they were the last ones."""
    ids = list(_recipients(pending, using).values_list("pk", flat=True)[:AT_ONCE])
    chosen = Recipient.objects.using(using).filter(pk__in=ids)
    now = database_now(using)
    held = transitions.apply(transitions.HOLD, chosen, State.HELD, now=now, reason=pending.reason)
    return len(held), len(ids) < AT_ONCE


def _recipients(pending: PendingHold, using: str) -> QuerySet[Recipient]:
    """Return the recipients to hold, by the index of the claim."""
    destinations = Destination.objects.using(using).filter(account=pending.account_id)
    found = Recipient.objects.using(using).filter(
        destination__in=list(destinations.values_list("pk", flat=True)),
        priority__in=_PRIORITIES,
        next_attempt_at__isnull=False,
        state__in=transitions.HOLD.sources,
        pk__lte=pending.highest_id,
    )
    if pending.sender_key is not None:
        found = found.filter(sender_key=pending.sender_key)
    if pending.is_for_composed:
        found = found.filter(
            message__account=pending.account_id,
            message__origin=Origin.COMPOSE,
            message__folder__in=WAITING_FOLDERS,
        )
    return found.order_by()
