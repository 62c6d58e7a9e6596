"""Import the queue of another app: each message is then queued in the outbox, and nowhere else.

Each row has a transaction in which the message is queued here and removed there. With two databases
the outbox commits first. If a process is killed between the two commits, the row stays in the
other app, and the next run finds by its key that the message has been imported.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.db import transaction

from outbox import api
from outbox.backend import outgoing
from outbox.conf import get_conf
from outbox.management.importing.history import store_attempts, store_finished
from outbox.management.importing.source import FinishedEmail, ImportSource, QueuedEmail
from outbox.models import Account, Message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was not imported, and the reason."""

    pk: int
    why: str


def import_queue(source: ImportSource, account: Account | None) -> Iterator[int | Skipped]:
    """Import the queue of an app; yield the id of each message, or the row that was skipped."""
    for pk in source.queued_ids():
        try:
            with transaction.atomic(using=source.using):
                message_id = _import_row(source, pk, account)
        except Exception as error:  # an invalid message does not stop the others
            logger.debug("Message %s of %s was skipped.", pk, source.name, exc_info=True)
            yield Skipped(pk, f"{type(error).__name__}: {error}")
        else:
            if message_id is not None:
                yield message_id


def _import_row(source: ImportSource, pk: int, account: Account | None) -> int | None:
    row = source.lock_row(pk)
    if row is None:  # sent or deleted since the ids were read
        return None
    found = source.read_queued(row)
    with transaction.atomic(using=get_conf().database):
        message_id = (
            store_finished(found, account)
            if isinstance(found, FinishedEmail)
            else _queue(found, account)
        )
    source.mark_as_imported(row, message_id)
    return message_id


def _queue(waiting: QueuedEmail, account: Account | None) -> int:
    item = replace(
        outgoing(waiting.mail, account),
        priority=waiting.priority,
        send_at=waiting.send_at,
        expires_at=waiting.expires_at,
        idempotency_key=waiting.key,
        metadata={"imported_as": waiting.key},
    )
    (message_id,) = api.queue_ids([item])
    message = Message.objects.using(get_conf().database).get(pk=message_id)
    store_attempts(message_id, waiting.attempts, last_is_final=False)
    if waiting.hold_reason:
        api.hold(message, why=waiting.hold_reason)
    return message_id
