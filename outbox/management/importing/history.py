"""Copying a neighbour's history: mails that are over, with what is known of how they ended.

Nothing is queued and nobody is told. The text is put together again, as the neighbour keeps no
bytes; the reason on each recipient says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from django.db import transaction

from outbox.api.outgoing import check
from outbox.api.rows import store_by_table
from outbox.backend import outgoing
from outbox.conf import get_conf
from outbox.management.importing.neighbour import Neighbour, Past, Try
from outbox.models import Account, Attempt, Message, Outcome, Recipient
from outbox.models.rollup import roll_up

_AT_ONCE = 200  # rows whose keys are looked up together
AGAIN = "(Its text was put together again when it was imported.)"


def copy_history(neighbour: Neighbour, account: Account | None) -> Iterator[int | str]:
    """Copy what is past and not here yet; give the id of each message, or why it was left."""
    for row in _unknown(neighbour):
        try:
            past = neighbour.read_past(row)
            with transaction.atomic(using=get_conf().database):
                message_id = keep(past, account)
        except Exception as error:  # noqa: BLE001  # what one mail cannot be copied for, others can
            yield f"{row.pk}: {type(error).__name__}: {error}"
        else:
            yield message_id


def _unknown(neighbour: Neighbour) -> Iterator[Any]:
    """Give the rows that are not here yet; a run that has them all reads no mail."""
    rows = neighbour.past()
    messages = Message.objects.using(get_conf().database)
    while some := list(islice(rows, _AT_ONCE)):
        keys = [neighbour.past_key(row) for row in some]
        found = messages.filter(idempotency_key__in=keys)
        known = set(found.values_list("idempotency_key", flat=True))
        yield from (row for row, key in zip(some, keys, strict=True) if key not in known)


def keep(past: Past, account: Account | None) -> int:
    """Store a mail that is over, inside a transaction; return its id, also where it was known."""
    using = get_conf().database
    item = replace(
        outgoing(past.mail, account),
        lane=past.lane,
        send_at=None,
        idempotency_key=past.key,
        metadata={"imported_as": past.key},
    )
    (message_id,) = store_by_table([check(item)], using)
    messages = Message.objects.using(using)
    if message_id is None:
        return messages.values_list("pk", flat=True).get(idempotency_key=past.key)
    messages.filter(pk=message_id).update(
        created_at=past.queued_at,
        queued_at=past.queued_at,
        listed_at=past.queued_at,
        expires_at=None,
    )
    _end(message_id, past, using)
    keep_tries(message_id, past.tries, last_is_final=True)
    roll_up([message_id], past.ended_at, using, announces=False)
    return message_id


def _end(message_id: int, past: Past, using: str) -> None:
    Recipient.objects.using(using).filter(message=message_id).update(
        state=past.state,
        reason=f"{past.why} {AGAIN}",
        next_attempt_at=None,
        expires_at=None,
        settled_at=past.ended_at,
    )


def keep_tries(message_id: int, tries: Sequence[Try], *, last_is_final: bool) -> None:
    """Keep what the neighbour tried as attempts of the message."""
    if not tries:
        return
    using = get_conf().database
    Attempt.objects.using(using).bulk_create(
        Attempt(
            message_id=message_id,
            started_at=one.at,
            ended_at=one.at,
            outcome=_outcome(one, is_final=last_is_final and number == len(tries)),
            detail=one.text,
        )
        for number, one in enumerate(tries, start=1)
    )
    Recipient.objects.using(using).filter(message=message_id).update(
        attempts=len(tries), first_attempt_at=tries[0].at, last_attempt_at=tries[-1].at
    )


def _outcome(one: Try, *, is_final: bool) -> Outcome:
    if one.succeeded:
        return Outcome.SENT
    return Outcome.FAILED if is_final else Outcome.DEFERRED
