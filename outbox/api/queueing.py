"""Queueing: finished mails become rows, all or none, inside the caller's transaction."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from django.db import connections, transaction

from outbox import bell
from outbox.api import statement
from outbox.api.handle import Handle
from outbox.api.outgoing import Checked, Outgoing, check
from outbox.api.rows import store_by_table
from outbox.api.values import wrong_type
from outbox.conf import get_conf
from outbox.models import Message, Recipient, State
from outbox.signals import Change, is_awaited, tell_on_commit


def queue_sources(items: Iterable[Outgoing]) -> list[Message]:
    """Queue finished mails as `queue_ids` does; return their messages."""
    ids = queue_ids(items)
    found = Message.objects.using(get_conf().database).in_bulk(ids)
    return [found[pk] for pk in ids]


def queue_ids(items: Iterable[Outgoing]) -> list[int]:
    """Queue finished mails, all or none; ring the bell when the transaction commits.

    Raises InvalidMailError for what can never be sent and NoAccountError, both with nothing
    queued. An item whose idempotency key is known gives back the earlier message's id.
    """
    return queue_checked(map(check, _iterate(items))).ids


def _iterate(items: Iterable[Outgoing]) -> Iterable[Outgoing]:
    if isinstance(items, Outgoing) or not isinstance(items, Iterable):
        raise wrong_type("items", "a list of Outgoing", items)
    return items


@dataclass(frozen=True, slots=True)
class Queued:
    """The messages of queued mails, in their order."""

    ids: list[int]
    existing: frozenset[int] = frozenset()  # places whose idempotency key was known

    @property
    def handles(self) -> Iterator[Handle]:
        """A handle for each message, which says whether it is new."""
        for place, pk in enumerate(self.ids):
            yield Handle(pk, created=place not in self.existing)


def queue_checked(mails: Iterable[Checked]) -> Queued:
    """Queue mails that were found sendable, as `queue_ids` does.

    Of many, the later ones are made while the database writes the earlier ones.
    """
    using = get_conf().database
    waiting = iter(mails)
    first = list(islice(waiting, statement.AT_ONCE + 1))
    if not first:
        return Queued([])
    if _needs_no_transaction(first, using):
        return _queue(first, using)
    with transaction.atomic(using=using):
        return _queue(chain(first, waiting), using)


def _needs_no_transaction(mails: Sequence[Checked], using: str) -> bool:
    """A statement alone is a transaction of its own; in the caller's, it needs a savepoint."""
    if connections[using].in_atomic_block or not connections[using].get_autocommit():
        return False
    if is_awaited(State.QUEUED, using):
        return False
    return statement.can_store(using) and statement.is_alone(mails)


def _queue(waiting: Iterable[Checked], using: str) -> Queued:
    mails: list[Checked] = []
    if statement.can_store(using):
        stored = statement.store(_noted(waiting, mails), using)
    else:
        mails.extend(waiting)
        stored = store_by_table(mails, using)
    new = [pk for pk in stored if pk is not None]
    tell_queued(new, using)
    bell.ring(using)
    if len(new) == len(mails):
        return Queued(new)
    existing = frozenset(place for place, pk in enumerate(stored) if pk is None)
    return Queued(_with_earlier(stored, mails, using), existing)


def _noted(waiting: Iterable[Checked], mails: list[Checked]) -> Iterator[Checked]:
    for one in waiting:
        mails.append(one)
        yield one


def _with_earlier(stored: Sequence[int | None], mails: Sequence[Checked], using: str) -> list[int]:
    """Put the earlier messages in place of mails whose idempotency key was known.

    Who came second waited for the first one's commit, so that a new statement sees its row.
    """
    keys = [one.item.idempotency_key for pk, one in zip(stored, mails, strict=True) if pk is None]
    known = Message.objects.using(using).filter(idempotency_key__in=keys)
    earlier = dict(known.values_list("idempotency_key", "pk"))
    return [
        earlier[one.item.idempotency_key] if pk is None else pk
        for pk, one in zip(stored, mails, strict=True)
    ]


def tell_queued(ids: Sequence[int], using: str) -> None:
    """Tell, on commit, of every recipient of these messages, where anybody waits for it."""
    if not is_awaited(State.QUEUED, using):
        return
    recipients = Recipient.objects.using(using).filter(message__in=ids).order_by("pk")
    tell_on_commit(
        [
            Change(message_id=message_id, recipient_id=pk, address=address, state=State.QUEUED)
            for pk, message_id, address in recipients.values_list("pk", "message_id", "address")
        ],
        using,
    )
