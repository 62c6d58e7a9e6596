"""One path into the queue: check, choose the destination, store, notify.

The composer, the Django backend, `send`, `send_many` and the importer all call `queue_checked`.
Messages become rows all or none, inside the caller's transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from django.db import connections, transaction

from outbox import wakeup
from outbox.api.handle import Handle
from outbox.api.outgoing import Checked, Outgoing, check
from outbox.api.quotas import Owners
from outbox.api.storing import needs_no_transaction, store
from outbox.api.storing_postgresql import GROUP
from outbox.api.values import wrong_type
from outbox.conf import get_conf
from outbox.models import Message, Recipient, State
from outbox.signals import Change, announce_on_commit, is_observed


def queue_sources(items: Iterable[Outgoing]) -> list[Message]:
    """Queue rendered messages as `queue_ids` does; return their rows."""
    ids = queue_ids(items)
    found = Message.objects.using(get_conf().database).in_bulk(ids)
    return [found[pk] for pk in ids]


def queue_ids(items: Iterable[Outgoing]) -> list[int]:
    """Queue rendered messages, all or none, and return their ids.

    Workers are notified when the transaction commits. For a known idempotency key, the id is that
    of the message that was queued first. Raise InvalidMessageError for a message that cannot be
    sent, QuotaExceededError and NoAccountError; then nothing is queued.
    """
    waiting = iter(_iterate(items))
    first = list(islice(waiting, GROUP + 1))
    owners = Owners()
    owners.check(first)
    if len(first) <= GROUP:
        return queue_checked(map(check, first)).ids
    using = get_conf().database
    with transaction.atomic(using=using):  # the others are read while the database writes
        ids = queue_checked(map(check, chain(first, owners.noted(waiting)))).ids
        owners.check_afterwards()
    return ids


def _iterate(items: Iterable[Outgoing]) -> Iterable[Outgoing]:
    if isinstance(items, Outgoing) or not isinstance(items, Iterable):
        raise wrong_type("items", "a list of Outgoing", items)
    return items


@dataclass(frozen=True, slots=True)
class Queued:
    """The ids of queued messages, in their order."""

    ids: list[int]
    existing: frozenset[int] = frozenset()  # positions whose idempotency key was known

    @property
    def handles(self) -> Iterator[Handle]:
        """Yield a handle for each message, which says whether it is new."""
        for position, pk in enumerate(self.ids):
            yield Handle(pk, created=position not in self.existing)


def queue_checked(messages: Iterable[Checked]) -> Queued:
    """Queue checked messages as `queue_ids` does.

    Later messages are produced while the database writes earlier ones.
    """
    using = get_conf().database
    waiting = iter(messages)
    first = list(islice(waiting, GROUP + 1))
    if not first:
        return Queued([])
    if _is_atomic_by_itself(first, using):
        return _queue(first, using)
    with transaction.atomic(using=using):
        return _queue(chain(first, waiting), using)


def _is_atomic_by_itself(messages: Sequence[Checked], using: str) -> bool:
    """Return whether no transaction is needed, because one statement does everything."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        return False  # a statement that fails would end the caller's transaction: use a savepoint
    return needs_no_transaction(messages, using) and not is_observed(State.QUEUED, using)


def _queue(messages: Iterable[Checked], using: str) -> Queued:
    stored = store(messages, using)
    new = [pk for pk, _ in stored if pk is not None]
    _announce(new, using)
    wakeup.notify(using)
    if len(new) == len(stored):
        return Queued(new)
    # The second of two transactions with one key waited for the first one's commit, so that a new
    # statement sees the row.
    keys = [one.item.idempotency_key for pk, one in stored if pk is None]
    known = Message.objects.using(using).filter(idempotency_key__in=keys)
    pk_of = dict(known.values_list("idempotency_key", "pk"))
    ids = [pk_of[one.item.idempotency_key] if pk is None else pk for pk, one in stored]
    return Queued(ids, frozenset(place for place, (pk, _) in enumerate(stored) if pk is None))


def _announce(ids: Sequence[int], using: str) -> None:
    """Send the signal, and call the webhooks, of every recipient after the commit."""
    if not is_observed(State.QUEUED, using):
        return
    recipients = Recipient.objects.using(using).filter(message__in=ids).order_by("pk")
    announce_on_commit(
        [
            Change(message_id=message_id, recipient_id=pk, address=address, state=State.QUEUED)
            for pk, message_id, address in recipients.values_list("pk", "message_id", "address")
        ],
        using,
    )
