"""Sweep: find what nobody would otherwise find. Dead workers' mail, expired mail, uncertain mail
whose policy is due, mail whose account is gone, webhooks' calls that were kept for long enough.

Each step takes a bounded number of rows in a transaction of its own; one that fails is logged and
does not stop the others. Whoever calls it, and how often, changes nothing: every change is guarded.
"""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, transaction
from django.db.models import F, Q

from outbox.delivery.away import DATABASE_AWAY, is_about_a_row
from outbox.delivery.schedule import moment_after
from outbox.delivery.webhooks import forget_old
from outbox.models import (
    DUE,
    Attempt,
    Event,
    EventKind,
    OnUncertain,
    Outcome,
    Recipient,
    Slot,
    State,
    Worker,
)
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up
from outbox.models.search import put_in_new
from outbox.models.states import ended_as
from outbox.signals import Change, tell_on_commit

logger = logging.getLogger(__name__)
_AT_ONCE = 500
_SEARCHABLE_AT_ONCE = 400  # messages a sweep: reading them takes a worker's time, which mail needs


@dataclass(slots=True)
class Swept:
    """How many recipients each step changed."""

    lost: int = 0
    expired: int = 0
    resent: int = 0
    held: int = 0
    searchable: int = field(default=0, compare=False)  # messages, whose recipients it leaves alone
    forgotten: int = field(default=0, compare=False)  # calls of webhooks


def sweep(using: str) -> Swept:
    """Do every step once; a step that found a full batch is repeated."""
    swept = Swept()
    steps: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("lost", recover_lost),
        ("expired", expire),
        ("resent", resend_uncertain),
        ("held", hold_unroutable),
        ("searchable", make_searchable),
        ("forgotten", forget_old),
    )
    for name, step in steps:
        try:
            while (count := step(using)) > 0:
                setattr(swept, name, getattr(swept, name) + count)
                if count < _AT_ONCE:
                    break
        except DATABASE_AWAY as error:
            logger.warning("The sweep's step “%s” has to wait for the database: %s", name, error)
        except Exception:
            logger.exception("The sweep's step “%s” failed; the others go on.", name)
    return swept


def recover_lost(using: str) -> int:
    """Take back what workers with a lapsed lease held: unsent if unmarked, else uncertain."""
    _end_lapsed(using)
    # One that was ended while it hung may take a slot afterwards, before it learns of its end.
    Slot.objects.using(using).filter(worker__ended_at__isnull=False).delete()
    ended = Worker.objects.using(using).filter(swept_at=None, ended_at__isnull=False)
    worker_ids = list(ended.values_list("pk", flat=True))
    if not worker_ids:
        return 0
    attempt_ids = _held_by(worker_ids, using)
    closed = [_close_or_leave(attempt_id, using) for attempt_id in attempt_ids]
    if None not in closed:
        ended.filter(pk__in=worker_ids).update(swept_at=database_now(using))
    return sum(count or 0 for count in closed)


def _end_lapsed(using: str) -> None:
    """End workers whose lease is over; one that is committing a claim has its turn the next time.

    So no claim of an ended worker can be committed after what it held was looked for.
    """
    with transaction.atomic(using=using):
        now = database_now(using)
        lapsed = Worker.objects.using(using).filter(ended_at=None, lease_until__lte=now)
        free = lapsed.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        lapsed.filter(pk__in=list(free)).update(ended_at=now)


def _held_by(worker_ids: Sequence[int], using: str) -> list[int]:
    """Return the open attempts of ended workers.

    No index has what is being sent, since every claim would write an entry; all that waits is
    looked through instead. A worker ends seldom, and only then is this asked.
    """
    held = Recipient.objects.using(using).filter(
        Q(attempt__worker=None) | Q(attempt__worker__in=worker_ids),
        next_attempt_at__isnull=False,
        state=State.SENDING,
        attempt__ended_at=None,
    )
    return sorted(set(held.order_by().values_list("attempt_id", flat=True)))


def _close_or_leave(attempt_id: int, using: str) -> int | None:
    """Close one orphan in a transaction of its own, so that one bad row keeps no other back.

    None: it could not be closed.
    """
    try:
        return _close_orphan(attempt_id, using)
    except DatabaseError as error:
        if isinstance(error, DATABASE_AWAY) and not is_about_a_row(error):
            raise
        logger.exception("Attempt %d of a dead worker could not be closed.", attempt_id)
        return None


def _close_orphan(attempt_id: int, using: str) -> int:
    with transaction.atomic(using=using):
        now = database_now(using)
        attempt = (
            Attempt.objects.using(using)
            .filter(pk=attempt_id, ended_at=None)
            .select_related("message__account")
            .select_for_update(no_key=True, of=("self",))
            .first()
        )
        if attempt is None:  # its reply came after all, or another sweep was quicker
            return 0
        state, why, due_at = _fate_of(attempt, now)
        Attempt.objects.using(using).filter(pk=attempt_id).update(
            ended_at=now,
            outcome=Outcome.UNCERTAIN if state == State.UNCERTAIN else Outcome.ABANDONED,
            detail="The worker that held it ended or fell silent.",
        )
        held = Recipient.objects.using(using).filter(attempt=attempt, state=State.SENDING)
        rows = list(held.order_by("pk").select_for_update(no_key=True))
        held.filter(pk__in=[row.pk for row in rows]).update(
            state=state,
            next_attempt_at=due_at if state == State.DEFERRED else None,
            resend_at=due_at if state == State.UNCERTAIN else None,
            attempts=F("attempts") + 1,
            reason=why,
        )
        _tell(rows, EventKind.LOST_WORKER, state, why, now, using)
        roll_up([attempt.message_id], now, using)
        return len(rows)


def _fate_of(attempt: Attempt, now: dt.datetime) -> tuple[State, str, dt.datetime | None]:
    """Return the state an orphan's recipients come to, why, and when something happens next."""
    if attempt.dot_marked_at is None:
        why = "Its worker died before the mail was complete: certainly unsent."
        return State.DEFERRED, why, now
    why = "Its worker died after the whole mail may have been sent: nobody knows whether it was."
    account = attempt.message.account
    policy = attempt.message.on_uncertain or (account.on_uncertain if account else OnUncertain.HOLD)
    if account is None or policy == OnUncertain.HOLD:
        return State.UNCERTAIN, why, None
    return State.UNCERTAIN, why, moment_after(now, account.resend_after)


def expire(using: str) -> int:
    """Give up what waited longer than its queue lifetime; the last reply stays."""
    return _change(
        Q(state__in=DUE, expires_at__lte=database_now(using), next_attempt_at__isnull=False),
        State.EXPIRED,
        EventKind.EXPIRED,
        "It waited longer than its queue lifetime.",
        using,
    )


def resend_uncertain(using: str) -> int:
    """Put uncertain recipients back in the queue where the account's policy says so."""
    return _change(
        Q(state=State.UNCERTAIN, resend_at__lte=database_now(using)),
        State.DEFERRED,
        EventKind.RESENT,
        "Sent again by the account's policy; a second copy is possible.",
        using,
    )


def hold_unroutable(using: str) -> int:
    """Hold mail whose account was deleted, so that it is neither lost nor claimed in vain."""
    return _change(
        Q(state__in=DUE, destination=None, next_attempt_at__isnull=False),
        State.HELD,
        EventKind.HELD,
        "Its account was deleted; choose another one or cancel it.",
        using,
    )


def make_searchable(using: str) -> int:
    """Let what apps queued for people be found; the rest waits for the next sweep."""
    return put_in_new(using, _SEARCHABLE_AT_ONCE)


def _change(condition: Q, to: State, kind: EventKind, why: str, using: str) -> int:
    with transaction.atomic(using=using):
        now = database_now(using)
        found = Recipient.objects.using(using).filter(condition).order_by("pk")
        rows = list(found.select_for_update(skip_locked=True)[:_AT_ONCE])
        if not rows:
            return 0
        values = {
            "state": to,
            "reason": why,
            "next_attempt_at": now if to in DUE else None,
            "resend_at": None,
            "settled_at": now if to == State.EXPIRED else None,
            "ended_as": ended_as(to),
        }
        ids = [row.pk for row in rows]
        Recipient.objects.using(using).filter(condition, pk__in=ids).update(**values)
        _tell(rows, kind, to, why, now, using)
        roll_up([row.message_id for row in rows], now, using)
        return len(rows)


def _tell(
    rows: Sequence[Recipient], kind: EventKind, to: State, why: str, now: dt.datetime, using: str
) -> None:
    """Leave an event for each recipient, as it was before, and tell who listens on commit."""
    Event.objects.using(using).bulk_create(
        Event(
            message_id=row.message_id,
            recipient_id=row.pk,
            kind=kind,
            from_state=row.state,
            to_state=to,
            why=why,
            at=now,
        )
        for row in rows
    )
    tell_on_commit([Change.of(row, to, why) for row in rows], using)
