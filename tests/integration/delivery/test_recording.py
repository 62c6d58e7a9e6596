"""What a group commit writes, what its guards refuse, and what survives a refused row."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from outbox import api
from outbox.delivery import record
from outbox.delivery.job import Job
from outbox.delivery.recorder import Recorder
from outbox.delivery.sweep import sweep
from outbox.delivery.unit import GivenBack, Mark, Opened, Result
from outbox.delivery.verdict import Verdict
from outbox.models import (
    CHANGES,
    Attempt,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    Session,
    State,
    Status,
)
from outbox.models.rollup import roll_up
from outbox.smtp import Reply
from tests.integration.delivery.desk import (
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    last_attempt,
    left_behind,
    queue,
    queue_many,
    refusing,
    row,
    states,
)

pytestmark = pytest.mark.django_db

ROLLED_UP = (
    "status",
    "folder",
    "has_failure",
    "failed_count",
    "failure_unseen",
    "failure_unreported",
)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OK = Reply(250, "2.0.0", "2.0.0 ok")


def ended(job: Job, *verdicts: Verdict, **fields: object) -> Result:
    given = list(verdicts) or [Verdict(state=State.SENT, reply=OK, command="DOT")]
    return Result(job=job, verdicts=given, outcome=Outcome.SENT, **fields)  # type: ignore[arg-type]  # the test's own words


def test_the_mark_is_granted_once_the_commit_has_it() -> None:
    """Protocol item 72."""
    message = queue(account())
    mark = Mark(attempt_id=claimed(message).attempt_id)
    record.write([mark], USING)
    assert mark.granted
    assert last_attempt(message).dot_marked_at is not None


def test_the_mark_is_refused_after_a_cancel() -> None:
    """Protocol item 103: one row decides which of the two was first."""
    message = queue(account())
    job = claimed(message)
    assert api.cancel(message) == api.CancelResult(stopped=1, too_late=0)
    mark = Mark(attempt_id=job.attempt_id)
    record.write([mark], USING)
    assert not mark.granted
    assert last_attempt(message).dot_marked_at is None


def test_a_cancel_after_the_mark_is_too_late() -> None:
    message = queue(account())
    job = claimed(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    assert api.cancel(message) == api.CancelResult(stopped=0, too_late=1)
    record.write([ended(job)], USING)
    assert states(message) == [State.SENT]
    assert Event.objects.filter(kind=EventKind.CANCEL_TOO_LATE).count() == 1


def test_the_mark_is_refused_after_a_sweep() -> None:
    """Protocol item 98: a worker that lost its mail sends no dot."""
    message = queue(account())
    job = left_behind(message)
    sweep(USING)
    assert states(message) == [State.DEFERRED]
    mark = Mark(attempt_id=job.attempt_id)
    record.write([mark], USING)
    assert not mark.granted


def test_a_result_that_comes_after_a_sweep_changes_no_state_but_is_kept() -> None:
    """Protocol item 98."""
    message = queue(account())
    job = left_behind(message)
    sweep(USING)
    late = ended(job, Verdict(state=State.FAILED, reply=Reply(550, "5.1.1", "5.1.1 no")))
    record.write([late], USING)
    assert late.fenced
    assert states(message) == [State.DEFERRED]
    attempt = last_attempt(message)
    assert (attempt.outcome, attempt.late_reply) == (Outcome.ABANDONED, "550 5.1.1 no")


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict(state=State.SENT, reply=OK, command="DOT"), State.SENT),
        (Verdict(state=State.FAILED, reply=Reply(554, "", "spam")), State.FAILED),
        (Verdict(state=State.DEFERRED, next_attempt_at=NOW), State.DEFERRED),
        # The table of states knows neither uncertain → queued nor uncertain → expired.
        (Verdict(state=State.QUEUED, next_attempt_at=NOW, counts=False), State.DEFERRED),
        (Verdict(state=State.EXPIRED, reply=Reply(451, "", "x")), State.DEFERRED),
        (Verdict(state=State.UNCERTAIN), State.UNCERTAIN),
    ],
)
def test_a_late_reply_settles_the_uncertainty_its_attempt_caused(
    verdict: Verdict, state: State
) -> None:
    message = queue(account())
    job = left_behind(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    sweep(USING)
    assert states(message) == [State.UNCERTAIN]
    record.write([ended(job, verdict)], USING)
    assert states(message) == [state]
    events = Event.objects.filter(kind=EventKind.LATE_REPLY)
    told = list(events.values_list("from_state", "to_state"))
    assert told == ([] if state == State.UNCERTAIN else [(State.UNCERTAIN, state)])
    message.refresh_from_db()
    assert message.status == state  # one recipient: the same words


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
@pytest.mark.parametrize("state", CHANGES[State.SENDING])
def test_the_message_s_status_is_rolled_up_from_each_state(state: State, number: int) -> None:
    """There is a short cut for a message of one recipient; both ways end alike."""
    message = queue(account(), *(f"bob{i}@example.net" for i in range(number)))
    verdicts = [Verdict(state=state, next_attempt_at=NOW) for _ in range(number)]
    record.write([ended(claimed(message), *verdicts)], USING)
    written = Message.objects.values_list(*ROLLED_UP).get()
    Message.objects.update(status=Status.DRAFT, failed_count=0)
    roll_up([message.pk], NOW, USING)
    assert Message.objects.values_list(*ROLLED_UP).get() == written


def test_a_late_reply_settles_nothing_that_another_attempt_caused() -> None:
    message = queue(account())
    old = left_behind(message)
    record.write([Mark(attempt_id=old.attempt_id)], USING)
    sweep(USING)
    api.settle_as_unsent(message)
    new = claimed(message)
    record.write([Mark(attempt_id=new.attempt_id)], USING)
    record.write([ended(old, Verdict(state=State.FAILED, reply=Reply(550, "", "no")))], USING)
    assert states(message) == [State.SENDING]
    record.write([ended(new, Verdict(state=State.UNCERTAIN))], USING)
    record.write([ended(old, Verdict(state=State.FAILED, reply=Reply(550, "", "no")))], USING)
    assert states(message) == [State.UNCERTAIN]


def test_the_last_reply_stays_when_the_next_attempt_hears_none() -> None:
    """Protocol item 105: what is given up in the end shows what a server really said."""
    message = queue(account())
    greylisted = Reply(451, "4.7.1", "4.7.1 greylisted")
    waits = Verdict(state=State.DEFERRED, next_attempt_at=NOW, reply=greylisted, command="RCPT")
    record.write([ended(claimed(message), waits)], USING)
    silent = Verdict(state=State.EXPIRED, reason="Given up: no answer")
    record.write([ended(claimed(message), silent)], USING)
    recipient = row(message)
    assert (recipient.state, recipient.reason) == (State.EXPIRED, "Given up: no answer")
    assert (recipient.reply_code, recipient.reply_enhanced) == (451, "4.7.1")
    assert (recipient.reply_text, recipient.reply_command) == ("4.7.1 greylisted", "RCPT")
    assert last_attempt(message).reply_code is None  # of that attempt there was none


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no \0 way", "no \\x00 way"),
        ("half \ud83d a pair", "half \\ud83d a pair"),
        ("中文 🙂 ok", "中文 🙂 ok"),
    ],
)
def test_no_text_of_a_server_is_too_odd_to_be_kept(said: str, kept: str) -> None:
    """Protocol item 84, and RFC 5321 knows no such bytes: only the database would choke."""
    message = queue(account())
    verdict = Verdict(state=State.FAILED, reason=said, reply=Reply(550, "", said))
    record.write(
        [ended(claimed(message), verdict, detail=said, transfer=said, traceback=said)], USING
    )
    recipient, attempt = row(message), last_attempt(message)
    assert recipient.reply_text == recipient.reason == kept
    assert attempt.reply_text == attempt.detail == attempt.transfer == attempt.traceback == kept
    assert attempt.result_rows[0]["text"] == kept


def test_what_was_never_begun_goes_back_as_it_was() -> None:
    fresh, tried = queue_many(account(), 2)
    worker = a_worker()
    Recipient.objects.filter(message=tried).update(state=State.DEFERRED, attempts=3)
    jobs = claim_due(fresh.account, worker)
    record.write([GivenBack(jobs=jobs, worker_id=worker.pk)], USING)
    assert (states(fresh), states(tried)) == ([State.QUEUED], [State.DEFERRED])
    assert not Attempt.objects.exists()
    fresh.refresh_from_db()
    assert fresh.status == Status.QUEUED


@pytest.mark.parametrize("begun", ["marked", "cancelled", "of another worker"])
def test_what_is_not_ours_to_return_stays(begun: str) -> None:
    message = queue(account())
    worker = a_worker()
    job = claimed(message, worker)
    if begun == "marked":
        record.write([Mark(attempt_id=job.attempt_id)], USING)
    elif begun == "cancelled":
        api.cancel(message)
    else:
        worker = a_worker()
    before = states(message)
    record.write([GivenBack(jobs=[job], worker_id=worker.pk)], USING)
    assert states(message) == before
    assert Attempt.objects.count() == 1


# Through the recorder's own thread.


@contextmanager
def recorder() -> Iterator[Recorder]:
    loop = asyncio.new_event_loop()
    writer = Recorder(USING, loop)
    try:
        yield writer
    finally:
        writer.stop(10)
        loop.close()


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_group_with_one_row_the_database_refuses_is_taken_apart() -> None:
    """The eleven others are written as if it had not been there."""
    messages = queue_many(account(), 12)
    jobs = [claimed(message) for message in messages]
    poison = Verdict(state=State.SENT, reply=Reply(250, "", "poison"))
    with refusing("outbox_recipient", "NEW.reply_text = 'poison'"), recorder() as writer:
        for number, job in enumerate(jobs):
            writer.put(ended(job, *([poison] if number == 5 else [])))
    assert states() == [State.SENT] * 12  # also the refused one's, less its texts
    refused = last_attempt(messages[5])
    assert refused.detail == "The database refused the full record of this attempt."
    assert "this row is refused" in refused.traceback
    assert last_attempt(messages[6]).detail == ""


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_what_our_own_code_cannot_write_stops_no_other_unit() -> None:
    """Not even an error that is none of the database's ends the recorder's thread."""
    first, second = queue_many(account(), 2)
    jobs = [claimed(first), claimed(second)]
    unwritable = ended(jobs[0], phases_ms=object())  # no type the database knows
    with recorder() as writer:
        writer.put(unwritable)
        writer.put(ended(jobs[1]))
    assert states() == [State.SENT, State.SENT]


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_receiver_that_fails_stops_nothing() -> None:
    def fails(results: object) -> None:
        raise RuntimeError("a defect in what listens")

    messages = queue_many(account(), 2)
    loop = asyncio.new_event_loop()
    writer = Recorder(USING, loop, on_recorded=fails)
    for message in messages:
        writer.put(ended(claimed(message)))
    writer.stop(10)
    loop.close()
    assert states() == [State.SENT] * 2


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_session_row_that_is_refused_costs_the_attempt_its_pointer_only() -> None:
    message = queue(account())
    session = Session(host="h" * 10, port=25, started_at=NOW, extensions={"X": "\0"})
    session.port = -1  # a check of the database's own refuses it
    with recorder() as writer:
        writer.put(Opened(session=session))
        writer.put(ended(claimed(message), session=session))
    assert states(message) == [State.SENT]
    assert last_attempt(message).session_id is None
