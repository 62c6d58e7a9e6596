"""Copy the history of another app: finished messages, with what is known of their delivery.

Nothing is queued, and no signal is sent. The other app keeps no bytes, so the message is rendered
again, which the reason of each recipient states.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from django.db import transaction

from outbox.api.outgoing import check
from outbox.api.storing import store
from outbox.backend import outgoing
from outbox.conf import get_conf
from outbox.management.importing.source import FinishedEmail, ImportSource, PastAttempt
from outbox.models import Account, Attempt, Message, Outcome, Recipient
from outbox.models.erasure import erase_ended
from outbox.models.rollup import roll_up
from outbox.models.transitions import import_final
from outbox.reasons import quoted

_AT_ONCE = 200  # rows whose keys are looked up together


def copy_history(source: ImportSource, account: Account | None) -> Iterator[int | str]:
    """Copy finished messages that are not here yet; yield the id of each, or why it was skipped."""
    for row in _unknown(source):
        try:
            past = source.read_finished(row)
            with transaction.atomic(using=get_conf().database):
                message_id = store_finished(past, account)
        except Exception as error:  # noqa: BLE001  # one message that fails must not stop the others
            yield f"{row.pk}: {type(error).__name__}: {error}"
        else:
            yield message_id


def _unknown(source: ImportSource) -> Iterator[Any]:
    """Yield the rows that are not here yet, without reading messages that are."""
    rows = source.history()
    messages = Message.objects.using(get_conf().database)
    while some := list(islice(rows, _AT_ONCE)):
        keys = [source.history_key(row) for row in some]
        found = messages.filter(idempotency_key__in=keys)
        known = set(found.values_list("idempotency_key", flat=True))
        yield from (row for row, key in zip(some, keys, strict=True) if key not in known)


def store_finished(past: FinishedEmail, account: Account | None) -> int:
    """Store a finished message inside a transaction; return its id, also if it was known."""
    using = get_conf().database
    item = replace(
        outgoing(past.mail, account),
        priority=past.priority,
        send_at=None,
        idempotency_key=past.key,
        metadata={"imported_as": past.key},
    )
    ((message_id, _),) = store([check(item)], using)
    messages = Message.objects.using(using)
    if message_id is None:
        return messages.values_list("pk", flat=True).get(idempotency_key=past.key)
    messages.filter(pk=message_id).update(
        created_at=past.queued_at,
        queued_at=past.queued_at,
        listed_at=past.queued_at,
        expires_at=None,
    )
    import_final(message_id, past.state, past.ended_at, past.reason, using)
    store_attempts(message_id, past.attempts, last_is_final=True)
    roll_up([message_id], past.ended_at, using, announces=False)
    erase_ended([message_id], using)
    return message_id


def store_attempts(
    message_id: int, attempts: Sequence[PastAttempt], *, last_is_final: bool
) -> None:
    """Store the attempts of the other app as attempts of the message."""
    if not attempts:
        return
    using = get_conf().database
    Attempt.objects.using(using).bulk_create(
        Attempt(
            message_id=message_id,
            started_at=one.at,
            ended_at=one.at,
            outcome=_outcome(one, is_final=last_is_final and number == len(attempts)),
            reason=quoted(one.text),
        )
        for number, one in enumerate(attempts, start=1)
    )
    Recipient.objects.using(using).filter(message=message_id).update(
        attempts=len(attempts),
        first_attempt_at=attempts[0].at,
        last_attempt_at=attempts[-1].at,
    )


def _outcome(one: PastAttempt, *, is_final: bool) -> Outcome:
    if one.succeeded:
        return Outcome.SENT
    return Outcome.FAILED if is_final else Outcome.DEFERRED
