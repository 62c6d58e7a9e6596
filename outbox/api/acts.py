"""What a person may do to a queued mail: cancel, retry, hold, release, settle.

Each is a guarded update in a short transaction that leaves an event for every recipient it changed,
and answers with what really happened. Rows are locked in one order everywhere: attempts,
recipients, messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from outbox import bell
from outbox.api.handle import Handle
from outbox.api.twins import twin
from outbox.api.values import read_text
from outbox.conf import get_conf
from outbox.models import (
    CANCELLABLE,
    CHANGES,
    DUE,
    RETRYABLE,
    Attempt,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    State,
)
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up
from outbox.signals import Change, tell_on_commit

_ROUNDS = 3  # a claim may slip in between two looks


@dataclass(frozen=True, slots=True)
class CancelResult:
    """Recipients stopped for certain, and those who were just being sent it, too late to stop."""

    stopped: int
    too_late: int


def cancel(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> CancelResult:
    """Stop what can still be stopped; what a worker is giving its dot just now is too late.

    A recipient that is being sent is stopped when "the dot is about to leave" was not yet
    committed: the same row decides both, so exactly one of them wins.
    """
    why = read_text("why", why)
    stopped = 0
    for _ in range(_ROUNDS):
        count = _cancel_round(message, actor, why)
        stopped += count
        if count == 0:
            break
    recipients = Recipient.objects.using(get_conf().database).filter(message=message.pk)
    late = recipients.filter(state=State.SENDING).count()
    if late or (not stopped and recipients.filter(state=State.SENT).exists()):
        _tell_too_late(message, actor, why)
    return CancelResult(stopped, late)


def _cancel_round(message: Message | Handle, actor: AbstractBaseUser | None, why: str) -> int:
    using = get_conf().database
    with transaction.atomic(using=using):
        now = database_now(using)
        unmarked = Attempt.objects.using(using).filter(
            message=message.pk, ended_at=None, dot_marked_at=None
        )
        locked = unmarked.order_by("pk").select_for_update(no_key=True)
        attempt_ids = list(locked.values_list("pk", flat=True))
        unmarked.filter(pk__in=attempt_ids).update(
            cancel_requested_at=now, ended_at=now, outcome=Outcome.CANCELLED
        )
        recipients = Recipient.objects.using(using).filter(message=message.pk)
        end = {"next_attempt_at": None, "settled_at": now}
        waiting = _change(recipients.filter(state__in=CANCELLABLE), State.CANCELLED, **end)
        held = _change(
            recipients.filter(state=State.SENDING, attempt_id__in=attempt_ids),
            State.CANCELLED,
            **end,
        )
        _tell(waiting + held, EventKind.CANCELLED, State.CANCELLED, actor, why)
        roll_up([message.pk], now, using)
    return len(waiting) + len(held)


def _tell_too_late(message: Message | Handle, actor: AbstractBaseUser | None, why: str) -> None:
    using = get_conf().database
    Event.objects.using(using).create(
        message_id=message.pk,
        kind=EventKind.CANCEL_TOO_LATE,
        actor_id=actor.pk if actor else None,
        why=why,
        at=database_now(using),
    )


def retry(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Retry now: failed recipients are queued again, deferred ones become due at once.

    A cancelled recipient is only sent to when `recipients` names it. Attempts made so far stay
    counted; the limit of attempts begins anew.
    """
    why = read_text("why", why)
    using = get_conf().database
    with transaction.atomic(using=using):
        now = database_now(using)
        chosen = _chosen(message, recipients)
        lifetime = None
        row = _row(message)
        if row.expires_at is not None and row.queued_at is not None:
            lifetime = now + (row.expires_at - (row.send_at or row.queued_at))
        ended = RETRYABLE if recipients is None else (*RETRYABLE, State.CANCELLED)
        again = _change(
            chosen.filter(state__in=ended),
            State.QUEUED,
            next_attempt_at=Now(),
            expires_at=lifetime,
            attempts_at_retry=F("attempts"),
            settled_at=None,
            ended_as=None,
        )
        sooner = _change(
            chosen.filter(state=State.DEFERRED),
            State.DEFERRED,
            next_attempt_at=Now(),
            attempts_at_retry=F("attempts"),
        )
        _tell(again, EventKind.RETRIED, State.QUEUED, actor, why)
        _tell(sooner, EventKind.RETRIED, State.DEFERRED, actor, why)
        roll_up([message.pk], now, using)
        bell.ring(using)
    return len(again) + len(sooner)


def hold(message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = "") -> int:
    """Keep back what waits, until a person releases it."""
    why = read_text("why", why)
    return _act(
        message, None, DUE, State.HELD, EventKind.HELD, actor, why,
        reason=why, next_attempt_at=None,
    )  # fmt: skip


def release(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> int:
    """Put held recipients back in the queue; scheduled mail still leaves at its time."""
    using = get_conf().database
    row = _row(message)
    ahead = row.send_at is not None and row.send_at > database_now(using)
    changed = _act(
        message, None, (State.HELD,), State.QUEUED, EventKind.RELEASED, actor, why,
        next_attempt_at=row.send_at if ahead else Now(),
    )  # fmt: skip
    bell.ring(using)
    return changed


def settle(
    message: Message | Handle,
    to: State,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """A person found out what became of an uncertain mail; the number of recipients it settles.

    Sent: it arrived. Deferred: it did not, and is sent again now. Failed: it did not, and is
    given up.
    """
    if to not in CHANGES[State.UNCERTAIN]:
        known = ", ".join(CHANGES[State.UNCERTAIN])
        raise ValueError(f"An uncertain mail is settled as one of {known}, not as {to}.")
    again = to == State.DEFERRED
    changed = _act(
        message, recipients, (State.UNCERTAIN,), to, EventKind.SETTLED, actor, why,
        next_attempt_at=Now() if again else None, settled_at=None if again else Now(),
        resend_at=None,
    )  # fmt: skip
    if again:
        bell.ring(get_conf().database)
    return changed


def settle_as_sent(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Settle an uncertain mail as sent."""
    return settle(message, State.SENT, recipients=recipients, actor=actor, why=why)


def settle_as_unsent(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Settle an uncertain mail as not sent: it is sent again, now."""
    return settle(message, State.DEFERRED, recipients=recipients, actor=actor, why=why)


acancel = twin(cancel)
aretry = twin(retry)
ahold = twin(hold)
arelease = twin(release)
asettle = twin(settle)


def _row(message: Message | Handle) -> Message:
    return message if isinstance(message, Message) else message.message()


def _act(
    message: Message | Handle,
    recipients: Iterable[Recipient] | None,
    expected: Sequence[State],
    to: State,
    kind: EventKind,
    actor: AbstractBaseUser | None,
    why: str,
    **values: Any,
) -> int:
    why = read_text("why", why)
    using = get_conf().database
    with transaction.atomic(using=using):
        changed = _change(_chosen(message, recipients).filter(state__in=expected), to, **values)
        _tell(changed, kind, to, actor, why)
        roll_up([message.pk], database_now(using), using)
    return len(changed)


def _chosen(message: Message | Handle, recipients: Iterable[Recipient] | None) -> Any:
    chosen = Recipient.objects.using(get_conf().database).filter(message=message.pk)
    if recipients is not None:
        chosen = chosen.filter(pk__in=[recipient.pk for recipient in recipients])
    return chosen


def _change(recipients: Any, to: State, **values: Any) -> list[Recipient]:
    """Lock, then change; return the rows as they were before."""
    rows: list[Recipient] = list(recipients.order_by("pk").select_for_update(no_key=True))
    recipients.filter(pk__in=[row.pk for row in rows]).update(state=to, **values)
    return rows


def _tell(
    rows: Sequence[Recipient],
    kind: EventKind,
    to: State,
    actor: AbstractBaseUser | None,
    why: str,
) -> None:
    using = get_conf().database
    now = database_now(using)
    Event.objects.using(using).bulk_create(
        Event(
            message_id=row.message_id,
            recipient_id=row.pk,
            kind=kind,
            from_state=row.state,
            to_state=to,
            actor_id=actor.pk if actor else None,
            why=why,
            at=now,
        )
        for row in rows
    )
    tell_on_commit([Change.of(row, to, why) for row in rows if row.state != to], using)
