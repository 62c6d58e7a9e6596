"""Sweep: find due and orphaned work.

That is the claims of dead workers, expired recipients, uncertain recipients to send to again,
recipients whose account was deleted or whose address was suppressed, those that waited for a tag,
messages without a search entry, old calls of webhooks, old sites of domains, sensitive content
whose lifetime ended, old counts of outcomes, and the snapshot of the queue.

Each step changes a bounded number of rows in its own transaction. A step that fails is logged, and
the others continue. Sweeps may run at any time and in parallel: every change is guarded.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, transaction
from django.db.models import F, Q

from outbox.backoff import moment_after
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE, is_about_a_row
from outbox.delivery import old_counts, old_sites, snapshot
from outbox.delivery.circuit import return_lost_probes
from outbox.delivery.paused_tags import return_postponed
from outbox.delivery.suppressed import hold_waiting
from outbox.inbound.applying import apply_pending
from outbox.models import (
    Attempt,
    Outcome,
    Recipient,
    Slot,
    Source,
    State,
    Worker,
    transitions,
)
from outbox.models.erasure import erase_ended
from outbox.models.inbound_search import index_new_received
from outbox.models.search import index_new
from outbox.models.senders import hold_forbidden
from outbox.models.transitions import Transition
from outbox.reasons import Reason, ReasonCode
from outbox.webhooks.calls import delete_old

logger = logging.getLogger(__name__)
_AT_ONCE = 500
_STEP_SECONDS = 10  # then the other steps run; the next sweep continues
_LOOKED_AGAIN_AFTER = dt.timedelta(minutes=5)  # at sensitive content that is still needed
_INDEXED_AT_ONCE = 400  # messages; reading them takes time that a worker needs for delivery


@dataclass(slots=True)
class Swept:
    """How many rows each step changed: recipients, unless stated otherwise."""

    lost: int = 0
    expired: int = 0
    resent: int = 0
    held: int = 0
    forbidden: int = 0  # held, since their authors may not send with the account any more
    suppressed: int = 0  # held, since their addresses were suppressed
    reported: int = 0  # reports that waited for the outcome of an attempt
    returned: int = 0  # due again, since delivery of their tag was resumed
    indexed: int = field(default=0, compare=False)  # sent and received messages
    deleted: int = field(default=0, compare=False)  # calls of webhooks, and sites of domains
    overdue: int = field(default=0, compare=False)  # sensitive messages
    compacted: int = field(default=0, compare=False)  # counts of outcomes
    uncounted: int = field(default=0, compare=False)  # counts of outcomes that were deleted
    merged: int = field(default=0, compare=False)  # times of workers that have ended
    snapshots: int = field(default=0, compare=False)  # of the queue


def sweep(using: str) -> Swept:
    """Run every step; repeat a step while it finds a full batch, for a limited time.

    A step that finds nothing reads the database's clock once at most, since each process of
    `outbox_deliver` that cron starts runs all steps.
    """
    swept = Swept()
    steps: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("lost", recover_lost),
        ("expired", expire),
        ("resent", resend_uncertain),
        ("held", hold_unroutable),
        ("forbidden", hold_forbidden),
        ("suppressed", hold_waiting),
        ("reported", apply_pending),
        ("returned", return_postponed),
        ("indexed", index_new_messages),
        ("indexed", lambda using: index_new_received(using, _INDEXED_AT_ONCE)),
        ("deleted", delete_old),
        ("overdue", end_overdue_sensitive),
        ("compacted", old_counts.compact),
        ("uncounted", old_counts.delete_old),
        # In this order: what is being queued may have read the site of a domain just before.
        ("deleted", old_sites.delete_unused),
        ("deleted", old_sites.delete_old),
        ("merged", old_counts.merge_times),
        ("snapshots", snapshot.refresh),
    )
    for name, step in steps:
        try:
            ends_at = time.monotonic() + _STEP_SECONDS
            while (count := step(using)) > 0:
                setattr(swept, name, getattr(swept, name) + count)
                if count < _AT_ONCE or time.monotonic() > ends_at:
                    break
        except DATABASE_UNAVAILABLE as error:
            logger.warning("The sweep's step “%s” waits for the database: %s", name, error)
        except Exception:
            logger.exception("The sweep's step “%s” failed; the other steps continue.", name)
    return swept


def recover_lost(using: str) -> int:
    """Recover the claims of workers whose lease has expired: deferred, or uncertain if marked."""
    now = database_now(using)
    _end_expired(now, using)
    # A worker that was ended while it hung may take a slot before it notices its end.
    Slot.objects.using(using).filter(worker__ended_at__isnull=False)._raw_delete(using)
    return_lost_probes(now, using)
    ended = Worker.objects.using(using).filter(swept_at=None, ended_at__isnull=False)
    worker_ids = list(ended.values_list("pk", flat=True))
    if not worker_ids:
        return 0
    attempt_ids = _open_attempts(worker_ids, using)
    closed = [_try_to_close(attempt_id, using) for attempt_id in attempt_ids]
    if None not in closed:
        ended.filter(pk__in=worker_ids).update(swept_at=database_now(using))
    return sum(count or 0 for count in closed)


def _end_expired(now: dt.datetime, using: str) -> None:
    """End workers whose lease has expired, except while they commit a claim, which locks the row.

    So no claim of an ended worker can be committed after its attempts were searched for.
    """
    with transaction.atomic(using=using):
        expired = Worker.objects.using(using).filter(ended_at=None, lease_until__lte=now)
        unlocked = expired.select_for_update(skip_locked=True, no_key=True).values_list(
            "pk", flat=True
        )
        expired.filter(pk__in=list(unlocked)).update(ended_at=now)


def _open_attempts(worker_ids: Sequence[int], using: str) -> list[int]:
    """Return the open attempts of ended workers.

    No index contains what is being sent, since every claim would write an entry. All waiting
    recipients are scanned instead, which happens only after a worker has ended.
    """
    held = Recipient.objects.using(using).filter(
        Q(attempt__worker=None) | Q(attempt__worker__in=worker_ids),
        next_attempt_at__isnull=False,
        state=State.SENDING,
        attempt__ended_at=None,
    )
    return sorted(set(held.order_by().values_list("attempt_id", flat=True)))


def _try_to_close(attempt_id: int, using: str) -> int | None:
    """Close one attempt in its own transaction, so that a bad row does not affect the others.

    Return the number of recipients, or None if the attempt could not be closed.
    """
    try:
        return _close_orphan(attempt_id, using)
    except DatabaseError as error:
        if isinstance(error, DATABASE_UNAVAILABLE) and not is_about_a_row(error):
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
        if attempt is None:  # its result was written, or another sweep closed it
            return 0
        state, reason, moment = _fate_of(attempt, now)
        Attempt.objects.using(using).filter(pk=attempt_id).update(
            ended_at=now,
            outcome=Outcome.UNCERTAIN if state == State.UNCERTAIN else Outcome.ABANDONED,
            reason=Reason(ReasonCode.WORKER_LOST),
        )
        rows = transitions.apply(
            transitions.LOSE_WORKER,
            Recipient.objects.using(using).filter(attempt=attempt),
            state,
            now=now,
            moment=moment,
            reason=reason,
            attempts=F("attempts") + 1,
        )
        return len(rows)


def _fate_of(attempt: Attempt, now: dt.datetime) -> tuple[State, Reason, dt.datetime | None]:
    """Return the state of the recipients of an orphaned attempt, the reason, and when it is due."""
    if attempt.dot_marked_at is None:
        return State.DEFERRED, Reason(ReasonCode.WORKER_LOST_UNSENT), now
    reason = Reason(ReasonCode.WORKER_LOST_UNCERTAIN)
    message, account = attempt.message, attempt.message.account
    wait = transitions.resend_after(
        message.on_uncertain,
        account.on_uncertain if account else None,
        account.resend_after if account else None,
    )
    return State.UNCERTAIN, reason, None if wait is None else moment_after(now, wait)


def expire(using: str) -> int:
    """Expire recipients whose lifetime has ended. They keep their last reply."""
    now = database_now(using)
    return _apply(
        transitions.EXPIRE,
        Q(expires_at__lte=now, next_attempt_at__isnull=False),
        State.EXPIRED,
        Reason(ReasonCode.LIFETIME_EXCEEDED),
        now,
        using,
    )


def resend_uncertain(using: str) -> int:
    """Return uncertain recipients to the queue when their policy is due."""
    now = database_now(using)
    return _apply(
        transitions.RESEND,
        Q(resend_at__lte=now),
        State.DEFERRED,
        Reason(ReasonCode.RESENT_BY_POLICY),
        now,
        using,
    )


def hold_unroutable(using: str) -> int:
    """Change recipients to held if their account was deleted, since no worker can send to them."""
    return _apply(
        transitions.HOLD,
        Q(destination=None, next_attempt_at__isnull=False),
        State.HELD,
        Reason(ReasonCode.ACCOUNT_DELETED),
        database_now(using),
        using,
    )


def end_overdue_sensitive(using: str) -> int:
    """Erase sensitive messages whose lifetime ended. Their held recipients expire.

    Recipients that are being sent, or that the uncertain policy sends to again, need the content
    longer: the next look is later.
    """
    now = database_now(using)
    overdue = Source.objects.using(using).filter(erase_at__lte=now)
    ids = list(overdue.order_by("erase_at").values_list("pk", flat=True)[:_AT_ONCE])
    if not ids:
        return 0
    with transaction.atomic(using=using):
        held = Recipient.objects.using(using).filter(message__in=ids, expires_at__lte=now)
        reason = Reason(ReasonCode.HELD_TOO_LONG)
        transitions.apply(
            transitions.EXPIRE_HELD, held, State.EXPIRED, now=now, reason=reason, skip_locked=True
        )
        erase_ended(ids, using)
        overdue.filter(pk__in=ids).update(erase_at=now + _LOOKED_AGAIN_AFTER)
        return len(ids)


def _apply(
    transition: Transition,
    condition: Q,
    to: State,
    reason: Reason,
    now: dt.datetime,
    using: str,
) -> int:
    with transaction.atomic(using=using):
        rows = transitions.apply(
            transition,
            Recipient.objects.using(using).filter(condition),
            to,
            now=now,
            moment=now,
            reason=reason,
            skip_locked=True,
            limit=_AT_ONCE,
        )
        return len(rows)


def index_new_messages(using: str) -> int:
    """Write the search entries of messages that apps queued for users, up to a limit."""
    return index_new(using, _INDEXED_AT_ONCE)
