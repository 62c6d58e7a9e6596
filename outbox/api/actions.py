"""Actions on queued messages: cancel, retry, hold, release and resolve.

Each is a transition in a short transaction, which records an event for every recipient that it
changed, and returns what really happened. Rows are locked in the same order everywhere: attempts,
recipients, messages.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from outbox import wakeup
from outbox.api import changes
from outbox.api.async_variants import as_async
from outbox.api.changes import Given
from outbox.api.handle import Handle
from outbox.api.values import read_text
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import ContentErasedError
from outbox.models import RETRYABLE, Message, Recipient, State, transitions
from outbox.models.senders import check_may_send

_ROUNDS = 3  # a claim may come between two rounds


@dataclass(frozen=True, slots=True)
class CancelResult:
    """The recipients that were cancelled in time, and those to which delivery was in progress."""

    stopped: int
    too_late: int


def cancel(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> CancelResult:
    """Cancel delivery to all recipients for which it is not too late.

    It is too late once the worker has committed `dot_marked_at`, before it sends the final dot. The
    same row decides both, so exactly one of them wins.
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
        using = get_conf().database
        given = Given(database_now(using), actor, why)
        changes.record_too_late([message.pk], given, using)
    return CancelResult(stopped, late)


def _cancel_round(message: Message | Handle, actor: AbstractBaseUser | None, why: str) -> int:
    using = get_conf().database
    with transaction.atomic(using=using):
        now = database_now(using)
        attempt_ids = changes.lock_unmarked([message.pk], using)
        given = Given(now, actor, why)
        return len(changes.cancel([message.pk], _chosen(message), attempt_ids, given))


def retry(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Retry now: failed recipients are queued again, deferred ones become due at once.

    Cancelled and uncertain recipients are retried only if `recipients` names them; an uncertain one
    may receive the message twice. Earlier attempts stay counted, but the limit of attempts starts
    again. Raise ContentErasedError if the content was erased or removed, and
    AccountNotUsableError if the author may no longer send with the account.
    """
    why = read_text("why", why)
    using = get_conf().database
    with transaction.atomic(using=using):
        given = Given(database_now(using), actor, why)
        chosen = _chosen(message, recipients)
        row = _row(message)
        check_may_send(row, using)
        is_named = recipients is not None
        failed = chosen if is_named else chosen.exclude(state=State.CANCELLED)
        changed = changes.retry([row], failed, given)
        changed += changes.retry_sooner(chosen, given)
        changed += changes.resolve(chosen if is_named else chosen.none(), State.DEFERRED, given)
        if changed:
            _check_content(row)
        wakeup.notify(using)
    return len(changed)


def retry_failed(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> int:
    """Queue the failed recipients again, and leave those that wait for another attempt alone.

    Raise what `retry` raises.
    """
    why = read_text("why", why)
    using = get_conf().database
    row = _row(message)
    with transaction.atomic(using=using):
        check_may_send(row, using)
        failed = _chosen(message).filter(state__in=RETRYABLE)
        changed = changes.retry([row], failed, Given(database_now(using), actor, why))
        if changed:
            _check_content(row)
        wakeup.notify(using)
    return len(changed)


def hold(message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = "") -> int:
    """Stop the delivery of waiting recipients until a person releases them."""
    why = read_text("why", why)
    using = get_conf().database
    with transaction.atomic(using=using):
        return len(changes.hold(_chosen(message), Given(database_now(using), actor, why)))


def release(
    message: Message | Handle, *, actor: AbstractBaseUser | None = None, why: str = ""
) -> int:
    """Return held recipients to the queue. Scheduled messages still wait for their time.

    A recipient that was held because its address is suppressed is sent to nonetheless. Raise
    AccountNotUsableError if the author may no longer send with the account.
    """
    why = read_text("why", why)
    using = get_conf().database
    row = _row(message)
    check_may_send(row, using)
    with transaction.atomic(using=using):
        given = Given(database_now(using), actor, why)
        changed = changes.release([row], _chosen(message), given)
    wakeup.notify(using)
    return len(changed)


def resolve_uncertain(
    message: Message | Handle,
    to: State,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Record what a person found out about uncertain recipients; return how many changed.

    Sent: the message arrived. Deferred: it did not, and is retried now. Failed: it did not, and is
    not retried. Raise ContentErasedError if the content was erased or removed, and
    AccountNotUsableError if the author may no longer send with the account.
    """
    if to not in transitions.RESOLVE.targets:
        known = ", ".join(transitions.RESOLVE.targets)
        raise ValueError(f"An uncertain recipient is resolved as one of {known}, not as {to}.")
    if to == State.DEFERRED:
        check_may_send(_row(message), get_conf().database)
    why = read_text("why", why)
    chosen = _chosen(message, recipients)
    using = get_conf().database
    with transaction.atomic(using=using):
        changed = changes.resolve(chosen, to, Given(database_now(using), actor, why))
        if changed and to == State.DEFERRED:
            _check_content(_row(message))
            wakeup.notify(using)
    return len(changed)


def resolve_as_sent(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Mark uncertain recipients as sent."""
    return resolve_uncertain(message, State.SENT, recipients=recipients, actor=actor, why=why)


def resolve_as_unsent(
    message: Message | Handle,
    *,
    recipients: Iterable[Recipient] | None = None,
    actor: AbstractBaseUser | None = None,
    why: str = "",
) -> int:
    """Retry uncertain recipients, now."""
    return resolve_uncertain(message, State.DEFERRED, recipients=recipients, actor=actor, why=why)


acancel = as_async(cancel)
aretry = as_async(retry)
ahold = as_async(hold)
arelease = as_async(release)
aresolve_uncertain = as_async(resolve_uncertain)


def _check_content(message: Message) -> None:
    """Raise ContentErasedError if the message cannot be sent any more.

    It is checked after the change, whose roll-up waits for a transaction that erases the content.
    """
    if loss := message.content_loss:
        raise ContentErasedError(str(loss))


def _row(message: Message | Handle) -> Message:
    return message if isinstance(message, Message) else message.message()


def _chosen(
    message: Message | Handle, recipients: Iterable[Recipient] | None = None
) -> QuerySet[Recipient]:
    chosen = Recipient.objects.using(get_conf().database).filter(message=message.pk)
    if recipients is not None:
        chosen = chosen.filter(pk__in=[recipient.pk for recipient in recipients])
    return chosen
