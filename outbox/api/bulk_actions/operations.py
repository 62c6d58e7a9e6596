"""The life of an operation as a person sees it: proposed, confirmed, cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count

from outbox.api import audit
from outbox.api.bulk_actions.preview import (
    COUNTED_AT_ONCE,
    Preview,
    chunks,
    count_suppressed,
    named_rejected,
)
from outbox.api.bulk_actions.selection import chosen_ids, matching_ids
from outbox.api.history.criteria import SELECTED, Criteria
from outbox.api.message_actions import MessageAction
from outbox.db.clock import database_now
from outbox.models import (
    AuditAction,
    BulkAction,
    BulkOperation,
    BulkPage,
    Message,
    Recipient,
    State,
)

EXAMPLES = 10  # messages that the question names
COUNTED_MAX = 100_000  # messages whose recipients are counted by state
_ON_A_PAGE = 10_000  # ids


def propose(
    action: MessageAction,
    *,
    actor: AbstractBaseUser,
    using: str,
    criteria: Criteria | None = None,
    message_ids: Sequence[int] | None = None,
    selection: str = "",
) -> BulkOperation:
    """Store the set of messages of an action, which waits for confirmation.

    These are the messages that match the criteria, or the given ones, and that the action can
    change. `selection` is the filter as the user gave it. Given messages need not match, and
    `criteria` then only say whose they are.
    """
    with transaction.atomic(using=using):
        if message_ids is None:
            criteria = dict(criteria or {})
            ids = matching_ids(criteria, action.states, using)
        else:
            criteria = {**(criteria or {}), SELECTED: True}
            ids = chosen_ids(message_ids, action.states, using)
        operation = BulkOperation.objects.using(using).create(
            action=action.name,
            actor_id=actor.pk,
            selection=selection,
            criteria=criteria,
            highest_id=ids[-1] if ids else 0,
            count=len(ids),
            states=_count_states(ids[:COUNTED_MAX], action.states, using),
            suppressed_count=count_suppressed(ids[:COUNTED_MAX], action, using),
        )
        store_pages(operation, ids, using)
    return operation


def store_pages(operation: BulkOperation, ids: Sequence[int], using: str) -> None:
    """Store the ids of an operation, ascending, in pages."""
    pages = [BulkPage.of(operation, chunk) for chunk in chunks(ids, _ON_A_PAGE)]
    BulkPage.objects.using(using).bulk_create(pages)


def _count_states(ids: Sequence[int], states: Sequence[State], using: str) -> Counter[str]:
    found: Counter[str] = Counter()
    recipients = Recipient.objects.using(using).filter(state__in=states).order_by()
    for chunk in chunks(ids, COUNTED_AT_ONCE):
        among = recipients.filter(message__in=list(chunk))
        found.update(dict(among.values_list("state").annotate(count=Count("pk"))))
    return found


def preview_of(operation: BulkOperation, using: str) -> Preview:
    """Return the numbers that were counted, and the first recipients that were rejected."""
    found = Preview(
        operation.count,
        Counter(operation.states),
        is_partial=operation.count > COUNTED_MAX,
        suppressed_count=operation.suppressed_count,
        is_release=operation.action == BulkAction.RELEASE,
    )
    if found.rejected_count:
        page = BulkPage.objects.using(using).filter(operation=operation).order_by("last_id").first()
        ids = list(page.ids)[:COUNTED_AT_ONCE] if page else []
        found.rejected = named_rejected(ids, using)
    return found


def examples(operation: BulkOperation, using: str) -> list[Message]:
    """Return the newest messages of the set."""
    page = BulkPage.objects.using(using).filter(operation=operation).order_by("-last_id").first()
    ids = list(page.ids)[-EXAMPLES:] if page else []
    return list(Message.objects.using(using).filter(pk__in=ids).order_by("-pk"))


def confirm(operation: BulkOperation, *, why: str, using: str) -> bool:
    """Confirm an operation, so that it starts; return False if it was confirmed before."""
    unconfirmed = BulkOperation.objects.using(using).filter(pk=operation.pk, confirmed_at=None)
    with transaction.atomic(using=using):
        if not unconfirmed.update(confirmed_at=database_now(using), why=why):
            return False
        audit.record(
            AuditAction.BULK_ACTION,
            actor=operation.actor,
            target=operation,
            using=using,
            name=operation.action,
            messages=operation.count,
            selection=operation.selection,
            why=why,
        )
    return True


def cancel(operation: BulkOperation, *, actor: AbstractBaseUser, using: str) -> bool:
    """End an operation; return whether it was not finished. What it changed remains changed."""
    rows = BulkOperation.objects.using(using).filter(pk=operation.pk)
    running = rows.filter(confirmed_at__isnull=False, finished_at=None)
    with transaction.atomic(using=using):
        now = database_now(using)
        if not running.update(
            cancelled_at=now, cancelled_by=actor.pk, finished_at=now, lease_until=None
        ):
            return False
        ended = rows.get()
        delete_pages(ended, using)
        record_end(AuditAction.BULK_ACTION_CANCELLED, ended, actor, using)
    return True


def delete_pages(operation: BulkOperation, using: str) -> None:
    """Delete the ids of an operation that has ended."""
    BulkPage.objects.using(using).filter(operation=operation).delete()


def record_end(
    action: AuditAction, operation: BulkOperation, actor: AbstractBaseUser | None, using: str
) -> None:
    """Record what an operation has done in the audit log."""
    audit.record(
        action,
        actor=actor,
        target=operation,
        using=using,
        name=operation.action,
        messages=operation.done_count,
        recipients=operation.changed_count,
        skipped=operation.skipped_count,
        **{f"skipped_{reason}": count for reason, count in operation.skips.items()},
    )
