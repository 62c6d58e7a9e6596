"""Record: what one group commit writes. Attempts, then recipients, then messages: always in that
order and by id, so that two of them never wait for each other in a ring.

Nothing here talks to a network or decides an outcome; it writes verdicts, guarded by the fencing
token, and tells what the guard refused.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

from django.db import connections, transaction
from django.db.models import F

from outbox.delivery import route, statement
from outbox.delivery.rows import ATTEMPT, RECIPIENT, attempt_row, recipient_rows, results_json
from outbox.delivery.unit import Closed, Freed, GivenBack, Mark, Opened, Result, Unit, clean
from outbox.delivery.verdict import Verdict
from outbox.models import Attempt, Event, EventKind, Recipient, Session, State
from outbox.models.bulk import Column, update_rows
from outbox.models.clock import database_now
from outbox.models.rollup import roll_up, roll_up_single
from outbox.models.webhook import wanted_states
from outbox.signals import note, tell_on_commit


def write(units: Sequence[Unit], using: str) -> None:
    """Write all units in one transaction. Raises what the database raises; then nothing is kept.

    What most units are takes one statement where the database can; what that leaves takes another
    transaction.
    """
    if statement.can_write(units, using):
        units = statement.write(units, using)
        if not units:
            return
    with transaction.atomic(using=using):
        now = database_now(using)
        _write_sessions([unit.session for unit in units if isinstance(unit, Opened)], using)
        _write_closings([unit for unit in units if isinstance(unit, Closed)], now, using)
        _write_marks([unit for unit in units if isinstance(unit, Mark)], now, using)
        _write_ends(
            [unit for unit in units if isinstance(unit, Result)],
            [unit for unit in units if isinstance(unit, GivenBack)],
            now,
            using,
        )
        for unit in units:
            if isinstance(unit, Freed):
                route.free_slots(unit.destination_id, unit.worker_id, unit.slots, using)


def _write_sessions(sessions: Sequence[Session], using: str) -> None:
    if connections[using].vendor == "sqlite":
        for session in sessions:
            session.pk = None  # a transaction that failed gave it an id that is free again
    again = [session for session in sessions if session.pk]
    Session.objects.using(using).bulk_create(session for session in sessions if not session.pk)
    # Where a commit was lost on the way back, the row may stand already, under this very id.
    Session.objects.using(using).bulk_create(again, ignore_conflicts=True)


def _write_closings(closed: Sequence[Closed], now: dt.datetime, using: str) -> None:
    update_rows(
        using,
        "outbox_session",
        (Column("ended_at", "timestamptz"), Column("closing", "text")),
        [(unit.session.pk, now, clean(unit.closing)) for unit in closed],
    )


def _write_marks(marks: Sequence[Mark], now: dt.datetime, using: str) -> None:
    """Refused when the attempt was cancelled or taken over: then the dot must not leave."""
    granted = set(
        update_rows(
            using,
            "outbox_attempt",
            (Column("dot_marked_at", "timestamptz"),),
            [(mark.attempt_id, now) for mark in sorted(marks, key=lambda mark: mark.attempt_id)],
            guard="t.ended_at IS NULL AND t.cancel_requested_at IS NULL",
        )
    )
    for mark in marks:
        mark.granted = mark.attempt_id in granted


def _write_ends(
    results: Sequence[Result], returned: Sequence[GivenBack], now: dt.datetime, using: str
) -> None:
    results = sorted(results, key=lambda result: result.job.attempt_id)
    kept = set(
        update_rows(
            using,
            "outbox_attempt",
            ATTEMPT,
            [attempt_row(result, now) for result in results],
            guard="t.ended_at IS NULL",
        )
    )
    for result in results:
        result.fenced = result.job.attempt_id not in kept and not _is_written(result, using)
    undone = _drop_attempts(returned, using)
    owned = [result for result in results if not result.fenced]
    changed = _change_recipients(owned, State.SENDING, now, using)
    if wanted_states(using):
        told = [change for result in owned for change in result.changes()]
        note([change for change in told if change.recipient_id in changed], using)
    _put_back(undone, using)
    late = [result for result in results if result.fenced]
    if late:
        _write_late(late, now, using)
    single = {
        result.job.message_id: result.verdicts[0].state for result in owned if result.job.is_whole
    }
    roll_up_single(single, using)
    jobs = [result.job for result in results] + [job for unit in returned for job in unit.jobs]
    roll_up({job.message_id for job in jobs} - single.keys(), now, using)


def _is_written(result: Result, using: str) -> bool:
    """Tell whether this very outcome stands there: its commit was lost on the way back."""
    attempt = Attempt.objects.using(using).filter(
        pk=result.job.attempt_id,
        outcome=result.outcome,
        results=results_json(result),
        session=result.session.pk if result.session else None,
        number_in_session=result.number_in_session,
    )
    return attempt.exists()


def _drop_attempts(returned: Sequence[GivenBack], using: str) -> list[int]:
    """Delete the attempts that never began; return whose recipients are free again."""
    undone: list[int] = []
    for unit in returned:
        open_ones = Attempt.objects.using(using).filter(
            pk__in=[job.attempt_id for job in unit.jobs],
            worker_id=unit.worker_id,
            ended_at=None,
            dot_marked_at=None,
        )
        locked = open_ones.order_by("pk").select_for_update(no_key=True)
        undone += locked.values_list("pk", flat=True)
    if undone:
        # Nothing points to them but the recipients that _put_back lets go of.
        Attempt.objects.using(using).filter(pk__in=undone)._raw_delete(using)
    return undone


def _put_back(attempt_ids: Sequence[int], using: str) -> None:
    """Let recipients wait as if they had not been claimed."""
    if not attempt_ids:
        return
    held = Recipient.objects.using(using).filter(attempt_id__in=attempt_ids, state=State.SENDING)
    untried = {"attempts": F("attempts_at_retry")}  # since the last retry by a person
    held.filter(**untried).update(state=State.QUEUED, attempt=None)
    held.exclude(**untried).update(state=State.DEFERRED, attempt=None)


def _change_recipients(
    results: Iterable[Result], expected: State, now: dt.datetime, using: str
) -> set[int]:
    """Move recipients out of `expected`, where the fencing token still fits; return whose did."""
    rows = [row for result in results for row in recipient_rows(result, now)]
    changed = update_rows(
        using,
        "outbox_recipient",
        RECIPIENT,
        sorted(rows, key=lambda row: int(row[0])),
        guard=f"t.state = '{expected}' AND t.attempt_id = v.attempt_id",
    )
    return set(changed)


def _write_late(results: Sequence[Result], now: dt.datetime, using: str) -> None:
    """Keep a reply that came after the lease was lost, and settle the uncertainty it caused."""
    for result in results:
        reply = next((verdict.reply for verdict in result.verdicts if verdict.reply), None)
        text = f"{reply.code} {reply.text}" if reply else result.detail
        Attempt.objects.using(using).filter(pk=result.job.attempt_id).update(
            late_reply=clean(text), transfer=clean(result.transfer)
        )
    settling = [_as_late(result, now) for result in results]
    changed = _change_recipients(settling, State.UNCERTAIN, now, using)
    told = [change for result in settling for change in result.changes()]
    tell_on_commit([change for change in told if change.recipient_id in changed], using)
    Event.objects.using(using).bulk_create(
        Event(
            message_id=result.job.message_id,
            recipient_id=recipient.id,
            kind=EventKind.LATE_REPLY,
            from_state=State.UNCERTAIN,
            to_state=verdict.state,
            why="The server's answer arrived after the worker had lost its lease.",
            at=now,
        )
        for result in settling
        for recipient, verdict in zip(result.job.recipients, result.verdicts, strict=True)
        if recipient.id in changed
    )


def _as_late(result: Result, now: dt.datetime) -> Result:
    """Leave what is certain now, in the states that an uncertain recipient may come to."""
    pairs = [
        (recipient, _settling(verdict, now))
        for recipient, verdict in zip(result.job.recipients, result.verdicts, strict=True)
        if verdict.state != State.UNCERTAIN
    ]
    job = replace(result.job, recipients=[recipient for recipient, _ in pairs])
    return replace(result, job=job, verdicts=[verdict for _, verdict in pairs])


def _settling(verdict: Verdict, now: dt.datetime) -> Verdict:
    if verdict.state in {State.SENT, State.FAILED, State.DEFERRED}:
        return verdict
    return replace(verdict, state=State.DEFERRED, next_attempt_at=now)
