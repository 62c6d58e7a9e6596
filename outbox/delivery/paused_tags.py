"""Recipients of messages with a paused tag: a claim postpones them until the pause ends.

They stay in the queue, in their state, and their next attempt is at the end of the pause. So a
claim does not pass over them again and again, and a pause that ends by itself needs no process. A
pause without an end postpones them for an hour at most (`Pause.next_look`). When a user resumes
delivery, the recipients with exactly this time are made due, at once or by the sweep.

A claim that begins before a pause is committed may still take messages. The worker returns those
that it has not begun.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import F, Q

from outbox.db.clock import database_now
from outbox.delivery.due import DueAt, DueRecipient, waiting
from outbox.models import Message, Pause, PauseScope, Recipient
from outbox.models.pause import LOOKED_AT_EVERY, HasTag, pause_of_tags
from outbox.models.transitions import CLAIM

_AT_ONCE = 2_000  # recipients in one database transaction
_POSTPONED_AT_ONCE = 500  # recipients, by a claim: other claims of the worker wait for it
_STEP_SECONDS = 10  # of the sweep; the next one continues


def paused_among(rows: Sequence[DueRecipient], now: dt.datetime, using: str) -> dict[int, Pause]:
    """Return which messages of the recipients a paused tag stops, and the pause of each."""
    return paused_messages({row.message_id for row in rows}, _pauses(now, using), using)


def paused_messages(
    message_ids: Collection[int], pauses: Sequence[Pause], using: str
) -> dict[int, Pause]:
    """Return which of the messages a paused tag stops, and the pause of each."""
    pauses = [one for one in pauses if one.scope == PauseScope.TAG]
    if not pauses or not message_ids:
        return {}
    tagged = Message.objects.using(using).filter(pk__in=message_ids).exclude(tags=[])
    found = {
        pk: pause_of_tags(tags, pauses) for pk, tags in tagged.values_list("pk", "tags").iterator()
    }
    return {pk: pause for pk, pause in found.items() if pause is not None}


def _pauses(now: dt.datetime, using: str, *, locks: bool = False) -> list[Pause]:
    found = Pause.objects.using(using).in_force(now).filter(scope=PauseScope.TAG).order_by("pk")
    return list(found.select_for_update() if locks else found)


def postpone(destination_id: int, after_sender: int, using: str) -> int:
    """Postpone recipients of paused tags that the next claims would find; return how many.

    The pauses are locked, so that nothing is postponed after delivery was resumed.
    """
    with transaction.atomic(using=using):
        pauses = _pauses(database_now(using), using, locks=True)
        now = database_now(using)
        rows = (
            DueAt(destination_id, now, using).lock(_POSTPONED_AT_ONCE, after_sender)
            if pauses
            else []
        )
        paused = paused_messages({row.message_id for row in rows}, pauses, using)
        by_moment: dict[dt.datetime, list[int]] = defaultdict(list)
        for row in rows:
            if row.message_id in paused:
                by_moment[paused[row.message_id].next_look(now)].append(row.id)
        for moment, ids in by_moment.items():
            chosen = Recipient.objects.using(using).filter(pk__in=ids)
            chosen.update(next_attempt_at=moment)
    return sum(map(len, by_moment.values()))


def return_postponed(using: str) -> int:
    """Make due what waited for tags whose delivery was resumed; return the number of recipients."""
    now = database_now(using)
    Pause.objects.using(using).filter(ended_at=None, until__lte=now).update(ended_at=F("until"))
    ends_at = time.monotonic() + _STEP_SECONDS
    count = 0
    for pause in Pause.objects.using(using).filter(is_returning=True).order_by("pk"):
        while time.monotonic() < ends_at:
            found, is_last = return_batch(pause, using)
            count += found
            if is_last:
                break
    return count


def return_batch(pause: Pause, using: str) -> tuple[int, bool]:
    """Make due some recipients of a pause that a user ended.

    Return how many, and whether these were the last. A scheduled message still waits for its time,
    and a message that another pause stops until the same time for the end of that pause.
    """
    assert pause.ended_at is not None
    # Two times, since a claim may have postponed some in the hour after that of the other clock.
    moments = {
        pause.next_look(pause.ended_at + more) for more in (dt.timedelta(0), LOOKED_AT_EVERY)
    }
    with transaction.atomic(using=using):
        now = database_now(using)
        found = Recipient.objects.using(using).filter(
            Q(message__send_at=None) | Q(message__send_at__lte=now),
            HasTag("message__tags", pause.tag),
            destination__in=list(waiting(using)),
            next_attempt_at__in=[moment for moment in moments if moment > now],
            state__in=CLAIM.sources,
        )
        # What a claim would postpone to the same time again waits for that pause from now on.
        for other in _pauses(now, using):
            if other.next_look(now) in moments:
                found = found.exclude(HasTag("message__tags", other.tag))
        locked = found.order_by().select_for_update(of=("self",), no_key=True)
        ids = list(locked.values_list("pk", flat=True)[:_AT_ONCE])
        Recipient.objects.using(using).filter(pk__in=ids).update(next_attempt_at=now)
        is_last = len(ids) < _AT_ONCE
        if is_last:
            Pause.objects.using(using).filter(pk=pause.pk).update(is_returning=False)
    return len(ids), is_last
