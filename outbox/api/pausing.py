"""Pause and resume delivery of everything, an account, a destination or a tag, or by one worker.

While a pause lasts, nothing of it is claimed. SMTP transactions that have begun complete, and
claimed messages that have not begun return to the queue at the worker's next poll.
"""

import datetime as dt

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox import wakeup
from outbox.api import audit
from outbox.api.values import read_text
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.delivery.paused_tags import return_batch
from outbox.models import Account, AuditAction, Destination, Pause, PauseScope, Worker
from outbox.models.pause import pauses_in_force

REASON_MAX = 500


def pause(
    what: Account | Destination | None = None,
    *,
    tag: str = "",
    reason: str,
    until: dt.datetime | None = None,
    actor: AbstractBaseUser | None = None,
) -> Pause:
    """Pause an account, a destination, a tag, or everything, until a time or until `resume`.

    A tag stops the messages that have exactly this tag, also those that are queued later. The page
    of each waiting message shows the reason, the actor and the time. Raise ValueError if the reason
    is empty or longer than REASON_MAX, or if the time has passed.
    """
    reason = read_text("reason", reason).strip()
    if not reason or len(reason) > REASON_MAX:
        raise ValueError(f"Give a reason of at most {REASON_MAX} characters.")
    using = get_conf().database
    if until is not None and until <= database_now(using):
        raise ValueError("The pause would have ended already.")
    row = Pause(reason=reason, until=until, created_by_id=actor.pk if actor else None)
    row.tag = read_text("tag", tag, longest=get_conf().max_metadata)
    if tag and what is not None:
        raise ValueError("Pause a tag, or an account or a destination.")
    match what:
        case None:
            row.scope = PauseScope.TAG if tag else PauseScope.EVERYTHING
        case Account():
            row.scope, row.account = PauseScope.ACCOUNT, what
        case Destination():
            row.scope, row.destination = PauseScope.DESTINATION, what
    with transaction.atomic(using=using):
        row.save(using=using)
        audit.record(
            AuditAction.PAUSED,
            actor=actor,
            target=_target(row),
            using=using,
            reason=reason,
            until=until.isoformat() if until else None,
        )
        wakeup.notify(using)  # a worker returns what it has claimed and not begun
    return row


def resume(row: Pause, *, actor: AbstractBaseUser | None = None) -> bool:
    """End a pause, and wake a worker; return whether the pause had lasted until now."""
    using = get_conf().database
    with transaction.atomic(using=using):
        now = database_now(using)
        changed = Pause.objects.using(using).in_force(now).filter(pk=row.pk)
        is_tag = row.scope == PauseScope.TAG
        ended_by = actor.pk if actor else None
        if not changed.update(ended_at=now, ended_by=ended_by, is_returning=is_tag):
            return False
        audit.record(AuditAction.RESUMED, actor=actor, target=_target(row), using=using)
        wakeup.notify(using)
    if is_tag:
        row.ended_at = now
        return_batch(row, using)  # the sweep returns the others
        wakeup.notify(using)
    return True


def _target(row: Pause) -> Account | Destination | str:
    """Return what the audit log names."""
    if row.scope == PauseScope.TAG:
        return f"{PauseScope.TAG.value} {row.tag}"
    return row.account or row.destination or PauseScope.EVERYTHING.value


def drain(worker: Worker, *, actor: AbstractBaseUser | None = None) -> bool:
    """Stop a worker from claiming more; return whether it was claiming until now.

    With its next heartbeat it returns what it has not begun, and other workers take it. Deliveries
    in progress complete. Then it is idle until `end_drain`, or until its process ends.
    """
    return _set_drain(worker, actor, is_drained=True)


def end_drain(worker: Worker, *, actor: AbstractBaseUser | None = None) -> bool:
    """End the drain of a worker; return whether it was drained until now."""
    return _set_drain(worker, actor, is_drained=False)


def _set_drain(worker: Worker, actor: AbstractBaseUser | None, *, is_drained: bool) -> bool:
    using = get_conf().database
    with transaction.atomic(using=using):
        changed = Worker.objects.using(using).filter(
            pk=worker.pk, ended_at=None, drain_requested_at__isnull=is_drained
        )
        if not changed.update(drain_requested_at=database_now(using) if is_drained else None):
            return False
        action = AuditAction.PAUSED if is_drained else AuditAction.RESUMED
        audit.record(action, actor=actor, target=worker, using=using)
    return True


def pauses() -> list[Pause]:
    """Return the pauses that last, widest first."""
    return pauses_in_force(get_conf().database)
