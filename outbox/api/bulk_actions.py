"""An action on many messages: counted first, confirmed by a person, performed in the background.

The set is fixed when it is counted. A worker holds an operation by a lease and notes how far it has
come; if it dies, another goes on from there. A few messages may then be acted on twice, which
changes nothing: each action is guarded by the states that it applies to.
"""

import datetime as dt
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser
from django.db import connections, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from outbox.api import acts
from outbox.api.reasons import reason_of
from outbox.delivery.away import DATABASE_AWAY
from outbox.models import (
    CANCELLABLE,
    RETRYABLE,
    BulkAction,
    BulkOperation,
    Message,
    Recipient,
    State,
)
from outbox.models.clock import database_now

logger = logging.getLogger(__name__)
STATES_OF: dict[str, tuple[State, ...]] = {  # of the recipients that an action changes
    BulkAction.RETRY: (*RETRYABLE, State.DEFERRED),
    BulkAction.CANCEL: (*CANCELLABLE, State.SENDING),
}
_LEASE = dt.timedelta(minutes=1)
_AT_ONCE = 20  # messages between two notes of progress
_COUNTED_AT_ONCE = 5_000  # messages in one query of a preview
_NAMED = 20  # refused recipients that a preview names
_UNCONFIRMED_FOR = dt.timedelta(days=1)
_at_work = threading.Lock()  # held by this process's thread, while there are operations


@dataclass(slots=True)
class Preview:
    """What an action would change: recipients by state, and those that were refused for good."""

    message_count: int = 0  # messages with such a recipient
    states: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)  # address and reply, the first

    @property
    def recipient_count(self) -> int:
        """Return how many recipients would change."""
        return self.states.total()

    @property
    def sentence(self) -> str:
        """Return the counts in words: 4 messages, 5 recipients: 3 deferred, 2 failed."""
        messages = ngettext("%(count)d message", "%(count)d messages", self.message_count)
        recipients = ngettext("%(count)d recipient", "%(count)d recipients", self.recipient_count)
        entry = _("%(count)d %(state)s")
        states = [
            entry % {"count": self.states[state], "state": state.label}
            for state in State
            if self.states[state]
        ]
        return _("%(messages)s, %(recipients)s: %(states)s.") % {
            "messages": messages % {"count": self.message_count},
            "recipients": recipients % {"count": self.recipient_count},
            "states": pgettext("between entries", ", ").join(states),
        }

    @property
    def refused_count(self) -> int:
        """Return how many of them a server refused for good."""
        return self.states[State.FAILED]

    @property
    def refused_unnamed(self) -> int:
        """Return how many of these are not named."""
        return self.refused_count - len(self.refused)


def preview(message_ids: Sequence[int], states: Sequence[State], using: str) -> Preview:
    """Return what an action on these states would change in the messages."""
    found = Preview()
    recipients = Recipient.objects.using(using).filter(state__in=states).order_by()
    for chunk in _chunks(message_ids, _COUNTED_AT_ONCE):
        among = recipients.filter(message__in=chunk)
        found.message_count += among.aggregate(count=Count("message", distinct=True))["count"]
        by_state = among.values_list("state").annotate(count=Count("pk"))
        found.states.update(dict(by_state))
        if State.FAILED in states and len(found.refused) < _NAMED:
            refused = among.filter(state=State.FAILED).order_by("pk")
            found.refused += [
                (one.address, reason_of(one)) for one in refused[: _NAMED - len(found.refused)]
            ]
    return found


def propose(
    action: BulkAction,
    message_ids: Sequence[int],
    *,
    actor: AbstractBaseUser,
    selection: str,
    using: str,
) -> BulkOperation:
    """Store which messages an action is about; nothing happens before it is confirmed."""
    ids = sorted(message_ids)
    return BulkOperation.objects.using(using).create(
        action=action,
        actor_id=actor.pk,
        selection=selection,
        message_ids=ids,
        highest_id=ids[-1] if ids else 0,
        count=len(ids),
    )


def confirm(operation: BulkOperation, *, why: str, using: str) -> bool:
    """Let an operation begin; return False if it was confirmed before."""
    unconfirmed = BulkOperation.objects.using(using).filter(pk=operation.pk, confirmed_at=None)
    return bool(unconfirmed.update(confirmed_at=database_now(using), why=why))


def run_beside(using: str) -> None:
    """Perform confirmed operations in a thread of their own, unless this process does already."""
    if _pending(using).exists() and _at_work.acquire(blocking=False):
        threading.Thread(target=_run, args=[using], name="outbox-bulk", daemon=True).start()


def _run(using: str) -> None:
    try:
        run_bulk_operations(using)
    except DATABASE_AWAY as error:
        logger.warning("Bulk operations have to wait for the database: %s", error)
    except Exception:
        logger.exception("A bulk operation failed; the next sweep goes on with it.")
    finally:
        connections.close_all()
        _at_work.release()


def run_bulk_operations(using: str) -> None:
    """Perform every confirmed operation that no other worker holds."""
    abandoned = BulkOperation.objects.using(using).filter(confirmed_at=None)
    abandoned.filter(created_at__lte=database_now(using) - _UNCONFIRMED_FOR).delete()
    while (operation := _claim(using)) is not None:
        _perform(operation, using)


def _pending(using: str) -> QuerySet[BulkOperation]:
    return BulkOperation.objects.using(using).filter(
        Q(lease_until=None) | Q(lease_until__lte=database_now(using)),
        confirmed_at__isnull=False,
        finished_at=None,
    )


def _claim(using: str) -> BulkOperation | None:
    with transaction.atomic(using=using):
        locked = _pending(using).order_by("pk").select_for_update(skip_locked=True, of=("self",))
        operation = locked.first()
        if operation is not None:
            operation.lease_until = database_now(using) + _LEASE
            operation.save(using=using, update_fields=["lease_until"])
        return operation


def _perform(operation: BulkOperation, using: str) -> None:
    left = [pk for pk in operation.message_ids if pk > operation.last_id]
    for chunk in _chunks(left, _AT_ONCE):
        counts = [_act_on(pk, operation, using) for pk in chunk]
        if not _note(operation, chunk[-1], counts, using):
            return  # the lease was over: another worker goes on
    held = BulkOperation.objects.using(using).filter(
        pk=operation.pk, lease_until=operation.lease_until
    )
    held.update(finished_at=database_now(using), lease_until=None)


def _act_on(pk: int, operation: BulkOperation, using: str) -> int:
    """Return how many recipients of the message changed."""
    message = Message.objects.using(using).filter(pk=pk).first()
    if message is None or message.is_draft:
        return 0
    try:
        return _ACTIONS[operation.action](message, operation)
    except DATABASE_AWAY:
        raise
    except Exception:  # what one message cannot have done, others can
        logger.exception("Message %d was skipped in bulk operation %d.", pk, operation.pk)
        return 0


def _retry(message: Message, operation: BulkOperation) -> int:
    return acts.retry(message, actor=operation.actor, why=operation.why)


def _cancel(message: Message, operation: BulkOperation) -> int:
    return acts.cancel(message, actor=operation.actor, why=operation.why).stopped


_ACTIONS: dict[str, Callable[[Message, BulkOperation], int]] = {
    BulkAction.RETRY: _retry,
    BulkAction.CANCEL: _cancel,
}


def _note(operation: BulkOperation, last_id: int, counts: Sequence[int], using: str) -> bool:
    """Store the progress and renew the lease; return False if the lease was lost."""
    lease_until = database_now(using) + _LEASE
    held = BulkOperation.objects.using(using).filter(
        pk=operation.pk, lease_until=operation.lease_until
    )
    is_held = held.update(
        last_id=last_id,
        lease_until=lease_until,
        done_count=F("done_count") + sum(map(bool, counts)),
        skipped_count=F("skipped_count") + counts.count(0),
        changed_count=F("changed_count") + sum(counts),
    )
    operation.lease_until = lease_until
    return bool(is_held)


def _chunks(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
