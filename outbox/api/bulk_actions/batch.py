"""One batch: an action on some messages, in bulk statements, in the caller's transaction.

What it did not change is reported with the reason, message by message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox import wakeup
from outbox.api import changes
from outbox.api.bulk_actions.suppressing import suppress_failed
from outbox.api.changes import Given, Recipients
from outbox.api.history.criteria import SELECTED, STAFF, Criteria, still_matching
from outbox.api.message_actions import MessageAction
from outbox.db.bulk import Among
from outbox.db.clock import database_now
from outbox.db.partial import read_partly
from outbox.exceptions import ContentErasedError
from outbox.models import RETRYABLE, Attempt, BulkAction, BulkSkip, Message, Recipient, State
from outbox.models.senders import forbidden

AT_ONCE = 500  # messages in one database transaction
RECIPIENTS_AT_ONCE = 2_000  # of them, unless one message has more
_MESSAGE_FIELDS = (
    "status", "origin", "owner_id", "account_id", "is_sensitive", "recipient_count", "send_at",
    "queued_at", "expires_at",
)  # fmt: skip


@dataclass(slots=True)
class BatchResult:
    """What became of messages: how many recipients changed, or why the message was skipped."""

    changed: Counter[int] = field(default_factory=Counter)  # message id → recipients
    skipped: dict[int, BulkSkip] = field(default_factory=dict)

    def skip(self, ids: Iterable[int], reason: BulkSkip) -> None:
        """Note messages that were not changed, unless another reason is noted."""
        for pk in ids:
            if pk not in self.changed:
                self.skipped.setdefault(pk, reason)

    def add(self, other: BatchResult) -> None:
        """Add what became of other messages."""
        self.changed.update(other.changed)
        self.skipped |= other.skipped

    def __contains__(self, pk: int) -> bool:
        return pk in self.changed or pk in self.skipped


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the change of some messages needs. Their recipients are locked."""

    messages: Sequence[Message]
    states: frozenset[str]  # of their recipients
    attempt_ids: Sequence[int]  # of a cancellation: those that can still be stopped
    given: Given
    result: BatchResult
    using: str

    @property
    def recipients(self) -> Recipients:
        ids = [message.pk for message in self.messages]
        return Recipient.objects.using(self.using).filter(Among("message", ids))


def perform_now(
    action: MessageAction,
    ids: Iterable[int],
    *,
    actor: AbstractBaseUser | None,
    why: str,
    using: str,
) -> BatchResult:
    """Perform an action on some messages at once, in batches; return what became of them."""
    result = BatchResult()
    left = sorted(ids)
    size = AT_ONCE
    while left:
        try:
            with transaction.atomic(using=using):
                given = Given(database_now(using), actor, why)
                result.add(change_batch(action, left[:size], {}, given, using))
        except ContentErasedError:  # in this moment; find the message
            if size == 1:
                result.skip(left[:1], BulkSkip.ERASED)
            size = 1
        left = [pk for pk in left if pk not in result]
    return result


def change_batch(
    action: MessageAction, ids: Sequence[int], criteria: Criteria, given: Given, using: str
) -> BatchResult:
    """Perform an action on those of the messages that match and that it can change.

    The result may lack the last messages, with which the next batch begins: there are too many
    recipients, or a worker has claimed one of them in this moment.
    """
    found = Message.objects.using(using).filter(Among("pk", ids)).order_by()
    messages = {message.pk: message for message in read_partly(found, _MESSAGE_FIELDS)}
    ids = _bounded(ids, messages)
    is_cancellation = action.name == BulkAction.CANCEL
    attempt_ids = changes.lock_unmarked(ids, using) if is_cancellation else []
    attempts = _lock_recipients(ids, using)
    if is_cancellation:
        ids = _until_claimed(ids, attempts.get(State.SENDING, set()) - set(attempt_ids), using)
    result = BatchResult()
    result.skip((pk for pk in ids if pk not in messages), BulkSkip.GONE)
    if SELECTED in criteria:  # they need not match the filter
        criteria = {name: criteria[name] for name in (STAFF,) if name in criteria}
    if criteria:
        result.skip(set(ids) - still_matching(criteria, ids), BulkSkip.UNMATCHED)
    possible = [messages[pk] for pk in ids if pk not in result.skipped]
    if action.sends:
        result.skip(forbidden(possible, using), BulkSkip.ACCOUNT)
    if action.needs_content:
        result.skip(changes.erased(possible, using), BulkSkip.ERASED)
    possible = [one for one in possible if one.pk not in result.skipped and not one.is_draft]
    batch = _Batch(possible, frozenset(attempts), attempt_ids, given, result, using)
    result.changed.update(row.message_id for row in _CHANGES[action.name](batch))
    if action.needs_content:
        _check_content(batch)
    if is_cancellation:
        _note_too_late(batch)
    result.skip(ids, BulkSkip.STATE)
    if result.changed and (action.sends or attempt_ids):
        wakeup.notify(using)
    return result


def _bounded(ids: Sequence[int], messages: Mapping[int, Message]) -> Sequence[int]:
    """Return the first messages that together have not too many recipients."""
    total = 0
    for number, pk in enumerate(ids):
        total += messages[pk].recipient_count if pk in messages else 0
        if total > RECIPIENTS_AT_ONCE and number:
            return ids[:number]
    return ids


def _lock_recipients(ids: Sequence[int], using: str) -> dict[str, set[int]]:
    """Lock all recipients in one order, since the change may do it in several statements.

    Return their states, each with the recipients' latest attempts; 0 is none.
    """
    recipients = Recipient.objects.using(using).filter(Among("message", ids)).order_by("pk")
    locked = recipients.select_for_update(no_key=True).values_list("state", "attempt_id")
    found: dict[str, set[int]] = {}
    for state, attempt_id in locked:
        found.setdefault(state, set()).add(attempt_id or 0)
    return found


def _until_claimed(ids: Sequence[int], claims: set[int], using: str) -> Sequence[int]:
    """Return the messages before the first that was claimed after the attempts were locked.

    Its attempt can still be stopped, but attempts are locked before recipients.
    """
    if not claims:
        return ids
    new = Attempt.objects.using(using).filter(pk__in=claims, ended_at=None, dot_marked_at=None)
    claimed = set(new.values_list("message_id", flat=True))
    return list(takewhile(lambda pk: pk not in claimed, ids))


def _check_content(batch: _Batch) -> None:
    """Raise ContentErasedError if a changed message cannot be sent any more.

    It is checked after the change, whose roll-up waits for a transaction that erases the content.
    """
    changed = [message for message in batch.messages if message.pk in batch.result.changed]
    if changes.erased(changed, batch.using):
        raise ContentErasedError


def _note_too_late(batch: _Batch) -> None:
    """Note the messages of which nothing could be stopped, and record it in their timelines."""
    if State.SENDING not in batch.states:
        return
    sending = batch.recipients.filter(state=State.SENDING)
    late = set(sending.values_list("message_id", flat=True))
    batch.result.skip(late, BulkSkip.TOO_LATE)
    changes.record_too_late(sorted(late), batch.given, batch.using)


def _mark_sent(batch: _Batch) -> list[Recipient]:
    return changes.resolve(batch.recipients, State.SENT, batch.given)


def _retry_uncertain(batch: _Batch) -> list[Recipient]:
    return changes.resolve(batch.recipients, State.DEFERRED, batch.given)


def _retry_failed(batch: _Batch) -> list[Recipient]:
    failed = batch.recipients.filter(state__in=RETRYABLE)
    return changes.retry(batch.messages, failed, batch.given)


def _retry(batch: _Batch) -> list[Recipient]:
    changed = _retry_failed(batch) if batch.states.intersection(RETRYABLE) else []
    if State.DEFERRED in batch.states:
        changed += changes.retry_sooner(batch.recipients, batch.given)
    return changed


def _release(batch: _Batch) -> list[Recipient]:
    return changes.release(batch.messages, batch.recipients, batch.given)


def _hold(batch: _Batch) -> list[Recipient]:
    return changes.hold(batch.recipients, batch.given)


def _cancel(batch: _Batch) -> list[Recipient]:
    ids = [message.pk for message in batch.messages]
    return changes.cancel(ids, batch.recipients, batch.attempt_ids, batch.given)


def _suppress(batch: _Batch) -> list[Recipient]:
    found = suppress_failed(batch.messages, batch.given.actor, batch.using)
    batch.result.changed.update(row.message_id for row in found.added)
    batch.result.skip(found.known, BulkSkip.SUPPRESSED)
    batch.result.skip(found.others, BulkSkip.OTHER_KIND)
    return []


_CHANGES: Mapping[str, Callable[[_Batch], list[Recipient]]] = {
    BulkAction.MARK_SENT: _mark_sent,
    BulkAction.RETRY_UNCERTAIN: _retry_uncertain,
    BulkAction.RETRY: _retry,
    BulkAction.RETRY_FAILED: _retry_failed,
    BulkAction.RELEASE: _release,
    BulkAction.HOLD: _hold,
    BulkAction.CANCEL: _cancel,
    BulkAction.SUPPRESS: _suppress,
}
