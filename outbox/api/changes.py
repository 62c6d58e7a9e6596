"""What an action changes, for one message and for many: the transitions with their columns.

Each function takes recipients of the messages and runs in the caller's transaction. Rows are locked
in the same order everywhere: attempts, recipients, messages.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F, Q, QuerySet

from outbox.db.bulk import Among
from outbox.models import (
    Attempt,
    Draft,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    Source,
    State,
    transitions,
)
from outbox.models.reasons import has_code
from outbox.reasons import NO_REASON, Reason, ReasonCode, quoted

Recipients = QuerySet[Recipient]


@dataclass(frozen=True, slots=True)
class Given:
    """When an action is performed, the user who performs it, and the reason that they gave."""

    now: dt.datetime
    actor: AbstractBaseUser | None = None
    why: str = ""


def hold(recipients: Recipients, given: Given) -> list[Recipient]:
    """Hold the recipients that wait."""
    return transitions.apply(
        transitions.HOLD,
        recipients,
        State.HELD,
        now=given.now,
        actor=given.actor,
        why=given.why,
        reason=quoted(given.why),
    )


def resolve(recipients: Recipients, to: State, given: Given) -> list[Recipient]:
    """Record what a person found out about uncertain recipients. A deferred one is due now."""
    return transitions.apply(
        transitions.RESOLVE,
        recipients,
        to,
        now=given.now,
        moment=given.now,
        actor=given.actor,
        why=given.why,
    )


def release(messages: Iterable[Message], recipients: Recipients, given: Given) -> list[Recipient]:
    """Return held recipients to the queue. A scheduled message still waits for its time.

    The reason of those whose address is suppressed shows a claim that a person released them.
    """
    moments: dict[dt.datetime, list[int]] = defaultdict(list)
    for message in messages:
        is_ahead = message.send_at is not None and message.send_at > given.now
        moments[message.send_at if is_ahead and message.send_at else given.now].append(message.pk)
    changed: list[Recipient] = []
    suppressed = has_code("reason", ReasonCode.ADDRESS_SUPPRESSED)
    overridden = Reason(ReasonCode.SUPPRESSION_OVERRIDDEN)
    for moment, ids in sorted(moments.items()):
        for condition, reason in ((suppressed, overridden), (Q(), NO_REASON)):
            changed += transitions.apply(
                transitions.RELEASE,
                recipients.filter(condition, Among("message", ids)),
                State.QUEUED,
                now=given.now,
                moment=moment,
                actor=given.actor,
                why=given.why,
                reason=reason,
            )
    return changed


def retry(messages: Iterable[Message], recipients: Recipients, given: Given) -> list[Recipient]:
    """Queue failed and cancelled recipients again. Their lifetime starts again, too."""
    ends: dict[dt.datetime | None, list[int]] = defaultdict(list)
    for message in messages:
        lifetime = None
        if message.expires_at is not None and message.queued_at is not None:
            lifetime = message.expires_at - (message.send_at or message.queued_at)
        ends[None if lifetime is None else given.now + lifetime].append(message.pk)
    changed: list[Recipient] = []
    for expires_at, ids in ends.items():
        changed += transitions.apply(
            transitions.RETRY,
            recipients.filter(Among("message", ids)),
            State.QUEUED,
            now=given.now,
            moment=given.now,
            actor=given.actor,
            why=given.why,
            expires_at=expires_at,
            attempts_at_retry=F("attempts"),
        )
    return changed


def retry_sooner(recipients: Recipients, given: Given) -> list[Recipient]:
    """Make deferred recipients due now."""
    return transitions.apply(
        transitions.RETRY_NOW,
        recipients,
        State.DEFERRED,
        now=given.now,
        moment=given.now,
        actor=given.actor,
        why=given.why,
        attempts_at_retry=F("attempts"),
    )


def lock_unmarked(message_ids: Collection[int], using: str) -> list[int]:
    """Lock the attempts of the messages that can still be stopped; return their ids.

    It is too late once the worker has committed `dot_marked_at`, before it sends the final dot. The
    same row decides both, so exactly one of them wins.
    """
    unmarked = Attempt.objects.using(using).filter(
        Among("message", message_ids), ended_at=None, dot_marked_at=None
    )
    locked = unmarked.order_by("pk").select_for_update(no_key=True)
    return list(locked.values_list("pk", flat=True))


def cancel(
    message_ids: Collection[int], recipients: Recipients, attempt_ids: Sequence[int], given: Given
) -> list[Recipient]:
    """Cancel delivery to recipients that wait, or whose locked attempt can still be stopped."""
    attempts = Attempt.objects.using(recipients.db).filter(
        Among("pk", attempt_ids), Among("message", message_ids)
    )
    attempts.update(cancel_requested_at=given.now, ended_at=given.now, outcome=Outcome.CANCELLED)
    in_time = recipients.filter(~Q(state=State.SENDING) | Q(attempt__in=attempt_ids))
    return transitions.apply(
        transitions.CANCEL,
        in_time,
        State.CANCELLED,
        now=given.now,
        actor=given.actor,
        why=given.why,
    )


def record_too_late(message_ids: Iterable[int], given: Given, using: str) -> None:
    """Record that it was too late to cancel messages."""
    Event.objects.using(using).bulk_create(
        Event(
            message_id=message_id,
            kind=EventKind.CANCEL_TOO_LATE,
            actor_id=given.actor.pk if given.actor else None,
            why=given.why,
            at=given.now,
        )
        for message_id in message_ids
    )


def erased(messages: Iterable[Message], using: str) -> set[int]:
    """Return the ids of the messages that have a `Message.content_loss`."""
    ids = {message.pk for message in messages}
    sources = Source.objects.using(using).filter(Among("pk", ids))
    is_redacted = dict(sources.values_list("pk", "is_redacted"))
    lost = {pk for pk in ids if is_redacted.get(pk, True)}
    if missing := lost - is_redacted.keys():
        drafts = Draft.objects.using(using).filter(pk__in=missing, message__is_sensitive=False)
        lost -= set(drafts.values_list("pk", flat=True))  # only the row of the source is missing
    return lost
