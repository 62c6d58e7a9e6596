"""Performing confirmed operations: page by page, in the order of the message ids, under a lease.

A batch is a short transaction that changes the messages and records the progress. While messages
are delivered, the worker pauses between two batches for several times as long as a batch took.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from outbox.api.bulk_actions.batch import AT_ONCE, BatchResult, change_batch
from outbox.api.bulk_actions.operations import delete_pages, record_end, store_pages
from outbox.api.changes import Given
from outbox.api.message_actions import OPERATION_ACTIONS
from outbox.conf import get_conf
from outbox.db.background import BackgroundWork
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.exceptions import ContentErasedError
from outbox.models import AuditAction, BulkOperation, BulkPage, BulkSkip, Slot

logger = logging.getLogger(__name__)
_UNCONFIRMED_FOR = dt.timedelta(days=1)
# Times what a batch took, while messages are delivered. With a pause of once the time, two workers
# that used all of two cores kept 73 % of their rate.
_PAUSE_FACTOR = 4
_PAUSE_MAX = 5.0  # seconds
_EXAMPLES_MAX = 50  # skipped messages that an operation names
_ATTEMPTS = 3  # for a batch that another transaction blocks
_background = BackgroundWork("outbox-bulk", "Run of bulk operations")


def run_beside(using: str) -> None:
    """Perform confirmed operations in a new thread, unless this process has one."""
    _background.start(lambda: run_bulk_operations(using), if_due=_pending(using).exists)


def run_bulk_operations(using: str) -> None:
    """Perform every confirmed operation that no other worker performs."""
    abandoned = BulkOperation.objects.using(using).filter(confirmed_at=None)
    abandoned.filter(created_at__lte=database_now(using) - _UNCONFIRMED_FOR).delete()
    while (operation := claim(using)) is not None:
        perform(operation, using)


def _pending(using: str) -> QuerySet[BulkOperation]:
    return BulkOperation.objects.using(using).filter(
        Q(lease_until=None) | Q(lease_until__lte=database_now(using)),
        confirmed_at__isnull=False,
        finished_at=None,
    )


def claim(using: str) -> BulkOperation | None:
    """Return an operation that no other worker has, under a lease; None if there is none."""
    with transaction.atomic(using=using):
        locked = _pending(using).order_by("pk").select_for_update(skip_locked=True, of=("self",))
        operation = locked.first()
        if operation is not None:
            operation.lease_until = _lease_end(using)
            if operation.message_ids:  # an earlier version proposed it
                store_pages(operation, operation.message_ids, using)
                operation.message_ids = []
            operation.save(using=using, update_fields=["lease_until", "message_ids"])
        return operation


def _lease_end(using: str) -> dt.datetime:
    return database_now(using) + dt.timedelta(seconds=get_conf().lease_duration)


def perform(operation: BulkOperation, using: str) -> None:
    """Process what is left, unless the operation is cancelled or the lease is lost."""
    while ids := _next_ids(operation, using):
        while ids:
            started = time.monotonic()
            if not _process_batch(operation, ids[:AT_ONCE], using):
                return
            ids = [pk for pk in ids if pk > operation.last_id]
            if Slot.objects.using(using).exists():  # a server is connected
                took = time.monotonic() - started
                time.sleep(min(_PAUSE_FACTOR * took, _PAUSE_MAX))  # deliveries come first
    _finish(operation, using)


def _next_ids(operation: BulkOperation, using: str) -> Sequence[int]:
    """Return the ids of the next page that are not processed."""
    pages = BulkPage.objects.using(using).filter(operation=operation, last_id__gt=operation.last_id)
    page = pages.order_by("last_id").first()
    return [pk for pk in page.ids if pk > operation.last_id] if page else []


def _process_batch(operation: BulkOperation, ids: Sequence[int], using: str) -> bool:
    """Process a batch; return False if the operation is not ours any more."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _process(operation, ids, using)
        except DATABASE_UNAVAILABLE:  # among them deadlocks
            if attempt == _ATTEMPTS:
                raise
            time.sleep(attempt)  # no event reports that the database is back
        except Exception as error:  # noqa: BLE001  # it is logged for the message that causes it
            logger.info("A batch of bulk operation %d is repeated: %s", operation.pk, error)
            break
    for pk in ids:
        if not _process_one(operation, pk, using):
            return False
        if operation.last_id < pk:  # a worker has just claimed it: the next batch begins with it
            return True
    return True


def _process_one(operation: BulkOperation, pk: int, using: str) -> bool:
    """Process one message. Its error must not stop the others."""
    try:
        return _process(operation, [pk], using)
    except DATABASE_UNAVAILABLE:
        raise
    except ContentErasedError:
        reason = BulkSkip.ERASED
    except Exception:
        logger.exception("Message %d was skipped in bulk operation %d.", pk, operation.pk)
        reason = BulkSkip.ERROR
    with transaction.atomic(using=using):
        progress = _record(operation, BatchResult(skipped={pk: reason}), using)
    return _apply(operation, progress)


def _process(operation: BulkOperation, ids: Sequence[int], using: str) -> bool:
    with transaction.atomic(using=using):
        # A cancellation waits for the batch, and finds it recorded.
        if not _ours(operation, using).select_for_update(no_key=True, of=("self",)).exists():
            return False
        given = Given(database_now(using), operation.actor, operation.why)
        action = OPERATION_ACTIONS[operation.action]
        result = change_batch(action, ids, operation.criteria, given, using)
        progress = _record(operation, result, using)
    return _apply(operation, progress)


def _ours(operation: BulkOperation, using: str) -> QuerySet[BulkOperation]:
    """Return the row while this worker has the lease and the operation is not cancelled."""
    return BulkOperation.objects.using(using).filter(
        pk=operation.pk, lease_until=operation.lease_until, finished_at=None
    )


def _record(operation: BulkOperation, result: BatchResult, using: str) -> dict[str, Any]:
    """Store the progress and renew the lease; return it, empty if the operation is not ours."""
    skips = Counter(operation.skips) + Counter(reason.value for reason in result.skipped.values())
    skipped = [[pk, reason.value] for pk, reason in sorted(result.skipped.items())]
    progress = {
        "last_id": max((*result.changed, *result.skipped), default=operation.last_id),
        "lease_until": _lease_end(using),
        "done_count": operation.done_count + len(result.changed),
        "changed_count": operation.changed_count + result.changed.total(),
        "skipped_count": operation.skipped_count + len(skipped),
        "skips": dict(skips),
        "examples": [*operation.examples, *skipped][:_EXAMPLES_MAX],
    }
    return progress if _ours(operation, using).update(**progress) else {}


def _apply(operation: BulkOperation, progress: Mapping[str, Any]) -> bool:
    """Note the progress after the commit: after a rollback, the row is as it was before."""
    for name, value in progress.items():
        setattr(operation, name, value)
    return bool(progress)


def _finish(operation: BulkOperation, using: str) -> None:
    with transaction.atomic(using=using):
        if _ours(operation, using).update(finished_at=database_now(using), lease_until=None):
            delete_pages(operation, using)
            record_end(AuditAction.BULK_ACTION_ENDED, operation, operation.actor, using)
