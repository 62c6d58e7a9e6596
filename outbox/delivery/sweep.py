"""Sweep: find what nobody would otherwise find. Dead workers' mail, expired mail, uncertain mail
whose policy is due, mail whose account is gone.

Each step takes a bounded number of rows in a transaction of its own; one that fails is logged and
does not stop the others. Whoever calls it, and how often, changes nothing: every change is guarded.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from django.db.models import F, Q

from outbox.models import (
    DUE,
    Attempt,
    Event,
    EventKind,
    Outcome,
    Recipient,
    Slot,
    State,
    Worker,
)
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up

logger = logging.getLogger(__name__)
_AT_ONCE = 500


@dataclass(slots=True)
class Swept:
    """How many recipients each step changed."""

    lost: int = 0
    expired: int = 0
    resent: int = 0
    held: int = 0


def sweep(using: str) -> Swept:
    """Do every step once; a step that found a full batch is repeated."""
    swept = Swept()
    steps: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("lost", recover_lost),
        ("expired", expire),
        ("resent", resend_uncertain),
        ("held", hold_unroutable),
    )
    for name, step in steps:
        try:
            while (count := step(using)) > 0:
                setattr(swept, name, getattr(swept, name) + count)
                if count < _AT_ONCE:
                    break
        except DatabaseError:
            logger.exception("The sweep's step “%s” failed; the others go on.", name)
    return swept


def recover_lost(using: str) -> int:
    """Take back what workers with a lapsed lease held: unsent if unmarked, else uncertain."""
    now = database_now(using)
    lapsed = Worker.objects.using(using).filter(ended_at=None, lease_until__lte=now)
    for worker_id in list(lapsed.values_list("pk", flat=True)):
        with transaction.atomic(using=using):
            ended = lapsed.filter(pk=worker_id).update(ended_at=now)
            if ended:
                Slot.objects.using(using).filter(worker_id=worker_id).delete()
    return _close_orphans(using)


def _close_orphans(using: str) -> int:
    orphans = Recipient.objects.using(using).filter(
        state=State.SENDING, attempt__worker__ended_at__isnull=False
    )
    attempt_ids = sorted(set(orphans.values_list("attempt_id", flat=True)[:_AT_ONCE]))
    if not attempt_ids:
        return 0
    with transaction.atomic(using=using):
        now = database_now(using)
        open_ones = Attempt.objects.using(using).filter(pk__in=attempt_ids, ended_at=None)
        attempts = list(
            open_ones.select_related("message__account")
            .order_by("pk")
            .select_for_update(no_key=True, of=("self",))
        )
        open_ones.filter(pk__in=[attempt.pk for attempt in attempts]).update(
            ended_at=now,
            outcome=Outcome.ABANDONED,
            detail="The worker that held it ended or fell silent.",
        )
        for attempt in attempts:
            _release_orphan(attempt, using)
        roll_up([attempt.message_id for attempt in attempts], now, using)
    return len(attempts)


def _release_orphan(attempt: Attempt, using: str) -> None:
    now = database_now(using)
    held = Recipient.objects.using(using).filter(attempt=attempt, state=State.SENDING)
    ids = list(held.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    held = held.filter(pk__in=ids)
    if attempt.dot_marked_at is None:
        state, why = (
            State.DEFERRED,
            "Its worker died before the mail was complete: certainly unsent.",
        )
        held.update(state=state, next_attempt_at=now, attempts=F("attempts") + 1, reason=why)
    else:
        state = State.UNCERTAIN
        why = (
            "Its worker died after the whole mail may have been sent: nobody knows whether it was."
        )
        account = attempt.message.account
        policy = attempt.message.on_uncertain or (account.on_uncertain if account else "hold")
        resend_at = now + account.resend_after if account and policy == "resend" else None
        held.update(state=state, next_attempt_at=resend_at, attempts=F("attempts") + 1, reason=why)
        Attempt.objects.using(using).filter(pk=attempt.pk).update(outcome=Outcome.UNCERTAIN)
    _tell(ids, attempt.message_id, EventKind.LOST_WORKER, State.SENDING, state, why, using)


def expire(using: str) -> int:
    """Give up what waited longer than its queue lifetime; the last reply stays."""
    return _change(
        Q(state__in=DUE, expires_at__lte=database_now(using)),
        State.EXPIRED,
        EventKind.EXPIRED,
        "It waited longer than its queue lifetime.",
        using,
    )


def resend_uncertain(using: str) -> int:
    """Put uncertain recipients back in the queue where the account's policy says so."""
    return _change(
        Q(state=State.UNCERTAIN, next_attempt_at__lte=database_now(using)),
        State.DEFERRED,
        EventKind.RESENT,
        "Sent again by the account's policy; a second copy is possible.",
        using,
    )


def hold_unroutable(using: str) -> int:
    """Hold mail whose account was deleted, so that it is neither lost nor claimed in vain."""
    return _change(
        Q(state__in=DUE, destination=None),
        State.HELD,
        EventKind.HELD,
        "Its account was deleted; choose another one or cancel it.",
        using,
    )


def _change(condition: Q, to: State, kind: EventKind, why: str, using: str) -> int:
    with transaction.atomic(using=using):
        now = database_now(using)
        found = Recipient.objects.using(using).filter(condition).order_by("pk")
        rows = list(
            found.select_for_update(skip_locked=True).values_list("pk", "message_id", "state")[
                :_AT_ONCE
            ]
        )
        if not rows:
            return 0
        values = {"state": to, "reason": why}
        if to == State.EXPIRED:
            values["settled_at"] = now  # type: ignore[assignment]  # a time among texts
        Recipient.objects.using(using).filter(condition, pk__in=[row[0] for row in rows]).update(
            **values
        )
        Event.objects.using(using).bulk_create(
            Event(
                message_id=message_id,
                recipient_id=pk,
                kind=kind,
                from_state=state,
                to_state=to,
                why=why,
                at=now,
            )
            for pk, message_id, state in rows
        )
        roll_up([row[1] for row in rows], now, using)
        return len(rows)


def _tell(
    ids: Sequence[int],
    message_id: int,
    kind: EventKind,
    from_state: State,
    to_state: State,
    why: str,
    using: str,
) -> None:
    now = database_now(using)
    Event.objects.using(using).bulk_create(
        Event(
            message_id=message_id,
            recipient_id=pk,
            kind=kind,
            from_state=from_state,
            to_state=to_state,
            why=why,
            at=now,
        )
        for pk in ids
    )
