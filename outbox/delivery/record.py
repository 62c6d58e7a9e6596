"""Record: write the items of one group commit.

Destinations that get a reservation back are locked first, as by a claim. Then come attempts,
recipients, counts, times and messages, each in the order of their keys, so that two transactions
never wait for each other. Nothing here uses the network or decides an outcome. Results are written
under the guard of the fencing token, and those that it refused are marked as fenced.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from django.db import connections, transaction

from outbox.db.bulk import update_rows
from outbox.db.clock import database_now
from outbox.db.columns import columns_of
from outbox.delivery import limits, record_postgresql
from outbox.delivery.circuit import return_probe
from outbox.delivery.failure_groups import FailureGroups
from outbox.delivery.job import (
    JobsReturned,
    Mark,
    RecordItem,
    Result,
    SessionClosed,
    SessionOpened,
    SlotsReleased,
    TlsCounted,
)
from outbox.delivery.record_queue import BYTES_MAX
from outbox.delivery.record_rows import (
    ATTEMPT_COLUMNS,
    RECIPIENT_COLUMNS,
    attempt_row,
    count_key,
    measured,
    recipient_rows,
    results_json,
    stored_signature,
)
from outbox.models import Attempt, Destination, SmtpSession, State, delivery_count
from outbox.models.delivery_count import UNCOUNTED
from outbox.models.delivery_time import add_times
from outbox.models.erasure import erase_ended
from outbox.models.rollup import roll_up
from outbox.models.transitions import (
    RECORD,
    RECORD_LATE,
    Move,
    Step,
    Transition,
    record_events,
    return_untried,
    state_after_late_reply,
)
from outbox.models.transport_policy import add_tls_counts
from outbox.models.webhook import wanted_states
from outbox.reasons import Reason, ReasonCode
from outbox.signals import announce_on_commit, record_webhook_calls
from outbox.texts import storable

Item = TypeVar("Item")
_CLOSING_COLUMNS = columns_of(SmtpSession, ("ended_at", "closing"))
_MARK_COLUMNS = columns_of(Attempt, ("dot_marked_at",))


def write(items: Sequence[RecordItem], using: str, groups: FailureGroups | None = None) -> None:
    """Write all items in one transaction. Raises what the database raises; then nothing is kept.

    `groups` remembers the reply groups that are stored already, from one commit to the next. Where
    the database has a statement for the most frequent items, that statement goes first, and the
    results that it refuses take another transaction.
    """
    (groups or FailureGroups()).assign(_only(Result, items), using)
    if record_postgresql.can_write(items, using):
        items = record_postgresql.write(items, using)
        if not items:
            return
    with transaction.atomic(using=using):
        now = database_now(using)
        returned = _only(JobsReturned, items)
        _lock_reserved(returned, using)
        _write_sessions([item.session for item in _only(SessionOpened, items)], using)
        # A commit that is repeated, since its confirmation was lost, counts sessions twice.
        counted = Counter(key for item in _only(TlsCounted, items) for key in item.keys)
        add_tls_counts(counted, using)
        _write_closings(_only(SessionClosed, items), now, using)
        _write_marks(_only(Mark, items), now, using)
        undone = _write_results(_only(Result, items), returned, now, using)
        released = [slot for item in _only(SlotsReleased, items) for slot in item.slots]
        limits.release_slots(released, using)
        _return_reservations(returned, undone, using)


def _only(kind: type[Item], items: Sequence[RecordItem]) -> list[Item]:
    return [item for item in items if isinstance(item, kind)]


def _write_sessions(sessions: Sequence[SmtpSession], using: str) -> None:
    if connections[using].vendor == "sqlite":
        for session in sessions:
            session.pk = None  # a transaction that failed gave it an id that is free again
    again = [session for session in sessions if session.pk]
    SmtpSession.objects.using(using).bulk_create(session for session in sessions if not session.pk)
    # The commit may have been lost on its way back; then the row exists under this id.
    SmtpSession.objects.using(using).bulk_create(again, ignore_conflicts=True)


def _write_closings(closed: Sequence[SessionClosed], now: dt.datetime, using: str) -> None:
    rows = [(item.session.pk, now, storable(item.closing)) for item in closed]
    update_rows(using, "outbox_smtpsession", _CLOSING_COLUMNS, rows)


def _write_marks(marks: Sequence[Mark], now: dt.datetime, using: str) -> None:
    """Grant each mark unless its attempt was cancelled or taken over; then no dot may be sent."""
    granted = update_rows(
        using,
        "outbox_attempt",
        _MARK_COLUMNS,
        [(mark.attempt_id, now) for mark in sorted(marks, key=lambda mark: mark.attempt_id)],
        guard="t.ended_at IS NULL AND t.cancel_requested_at IS NULL",
    )
    for mark in marks:
        mark.granted = mark.attempt_id in granted


def _write_results(
    results: Sequence[Result], returned: Sequence[JobsReturned], now: dt.datetime, using: str
) -> list[int]:
    """Write the results, and return the jobs. Return the attempts that were deleted."""
    results = sorted(results, key=lambda result: result.job.attempt_id)
    _end_attempts(results, now, using)
    undone = _delete_attempts(returned, using)
    owned = [result for result in results if not result.fenced]
    changed = _change_recipients(owned, RECORD, now, using)
    _count(owned, changed, now, using)
    if wanted_states(using):
        changes = [change for result in owned for change in result.changes()]
        record_webhook_calls(
            [change for change in changes if change.recipient_id in changed], using
        )
    return_untried(undone, using, _moves(returned, set(undone)))
    late = [result for result in results if result.fenced]
    if late:
        _write_late(late, now, using)
    singles = {
        result.job.message_id: result.verdicts[0].state for result in owned if result.job.is_whole
    }
    jobs = [result.job for result in results] + [job for item in returned for job in item.jobs]
    counted = {job.message_id for job in jobs} - singles.keys()
    roll_up(counted, now, using, singles=singles)
    sensitive = {result.job.message_id for result in results if result.job.is_sensitive}
    if sensitive:
        erase_ended(sensitive, using)
    return undone


def _lock_reserved(returned: Sequence[JobsReturned], using: str) -> None:
    """Lock the destinations that get something back, first of all, as a claim does."""
    ids = {job.destination_id for item in returned for job in item.jobs if job.probe is not None}
    ids.update(item.destination_id for item in returned if item.reserved)
    if ids:
        rows = Destination.objects.using(using).filter(pk__in=ids).order_by("pk")
        list(rows.select_for_update(no_key=True).values_list("pk"))


def _return_reservations(
    returned: Sequence[JobsReturned], undone: Collection[int], using: str
) -> None:
    """Refund what the rate limits counted for nothing, and return probes."""
    recipients = Counter[int]()
    for item in returned:
        recipients[item.destination_id] += sum(
            number for attempt_id, number in item.reserved.items() if attempt_id in undone
        )
        for job in item.jobs:
            if job.probe is not None:
                return_probe(job.probe, using)
    for destination_id, number in recipients.items():
        if number:
            limits.refund(destination_id, number, using)


def _moves(returned: Sequence[JobsReturned], undone: Container[int]) -> list[Move]:
    """Return the recipients that are returned to another destination."""
    return [
        Move(recipient.id, item.moved_to, job.attempt_id)
        for item in returned
        if item.moved_to
        for job in item.jobs
        if job.attempt_id in undone
        for recipient in job.recipients
    ]


def _end_attempts(results: Sequence[Result], now: dt.datetime, using: str) -> None:
    """End the attempts, and mark the results of those that had ended before as fenced."""
    rows = [attempt_row(result, now) for result in results]
    guard = "t.ended_at IS NULL"
    ended = set(update_rows(using, "outbox_attempt", ATTEMPT_COLUMNS, rows, guard=guard))
    for result in results:
        result.fenced = result.job.attempt_id not in ended and not _is_written(result, using)


def _is_written(result: Result, using: str) -> bool:
    """Return whether this very result was written: its commit was lost on the way back."""
    attempt = Attempt.objects.using(using).filter(
        pk=result.job.attempt_id,
        outcome=result.outcome,
        results=results_json(result),
        session=result.session.pk if result.session else None,
        number_in_session=result.number_in_session,
    )
    return attempt.exists()


def _delete_attempts(returned: Sequence[JobsReturned], using: str) -> list[int]:
    """Delete the attempts that were not begun; return their ids."""
    undone: list[int] = []
    by_worker: dict[int, list[int]] = {}
    for item in returned:
        by_worker.setdefault(item.worker_id, []).extend(job.attempt_id for job in item.jobs)
    for worker_id, attempt_ids in by_worker.items():
        unbegun = Attempt.objects.using(using).filter(
            pk__in=attempt_ids, worker_id=worker_id, ended_at=None, dot_marked_at=None
        )
        locked = unbegun.order_by("pk").select_for_update(no_key=True)
        undone += locked.values_list("pk", flat=True)
    if undone:
        # Only recipients point to them, and return_untried removes those pointers.
        Attempt.objects.using(using).filter(pk__in=undone)._raw_delete(using)
    return undone


def _change_recipients(
    results: Iterable[Result], transition: Transition, now: dt.datetime, using: str
) -> set[int]:
    """Change the recipients whose fencing token still holds; return their ids."""
    results = list(results)
    rows = [row for result in results for row in recipient_rows(result, transition, now)]
    rows.sort(key=lambda row: row.id)
    # PostgreSQL writes the rows of a large statement to disk, and reads them again for each row.
    size = sum(result.size for result in results)
    at_once = len(rows) if size <= BYTES_MAX else 1
    guard = transition.fenced_guard
    return {
        pk
        for start in range(0, len(rows), at_once or 1)
        for pk in update_rows(
            using,
            "outbox_recipient",
            RECIPIENT_COLUMNS,
            rows[start : start + at_once],
            guard=guard,
        )
    }


def _count(
    results: Sequence[Result], changed: Container[int], now: dt.datetime, using: str
) -> None:
    """Count the outcomes of the recipients that this commit changed, and of no others."""
    minute = now.replace(second=0, microsecond=0)
    counted = [
        (result, number)
        for result in results
        for number, recipient in enumerate(result.job.recipients)
        if recipient.id in changed and result.verdicts[number].state != UNCOUNTED
    ]
    delivery_count.add(Counter(count_key(*one, minute) for one in counted), using)
    add_times((time for one in counted for time in measured(*one, now)), using)


def _write_late(results: Sequence[Result], now: dt.datetime, using: str) -> None:
    """Write a reply that came after the lease was lost, and resolve the uncertainty it caused."""
    for result in results:
        reply = next((verdict.reply for verdict in result.verdicts if verdict.reply), None)
        text = f"{reply.code} {reply.text}" if reply else str(result.reason)
        Attempt.objects.using(using).filter(pk=result.job.attempt_id).update(
            late_reply=storable(text),
            transfer=storable(result.transfer),
            signature=stored_signature(result),
        )
    late = [_as_late(result, now) for result in results]
    changed = _change_recipients(late, RECORD_LATE, now, using)
    changes = [
        change for result in late for change in result.changes() if change.recipient_id in changed
    ]
    announce_on_commit(changes, using)
    steps = [
        Step(change.message_id, change.recipient_id, State.UNCERTAIN, State(change.state))
        for change in changes
    ]
    record_events(RECORD_LATE, steps, now, using, reason=Reason(ReasonCode.LATE_REPLY))


def _as_late(result: Result, now: dt.datetime) -> Result:
    """Return the part of a result that a late reply makes certain."""
    recipients, verdicts, group_keys = [], [], []
    rows = zip(result.job.recipients, result.verdicts, result.group_keys, strict=True)
    for recipient, verdict, group_key in rows:
        state = state_after_late_reply(verdict.state)
        if state is None:
            continue
        is_same = state == verdict.state
        recipients.append(recipient)
        verdicts.append(verdict if is_same else replace(verdict, state=state, next_attempt_at=now))
        group_keys.append(group_key)
    job = replace(result.job, recipients=recipients)
    return replace(result, job=job, verdicts=verdicts, group_keys=group_keys)
