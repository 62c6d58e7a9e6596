"""What a group commit writes, what its guards reject, and what survives a rejected row."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from outbox import api
from outbox.delivery import record
from outbox.delivery.job import Job, JobsReturned, Mark, Result, SessionClosed, SessionOpened
from outbox.delivery.record_queue import BYTES_MAX
from outbox.delivery.recorder import Recorder
from outbox.delivery.sweep import sweep
from outbox.delivery.verdict import Verdict
from outbox.models import (
    CHANGES,
    Attempt,
    Event,
    EventKind,
    Message,
    Outcome,
    Recipient,
    SmtpSession,
    State,
    Status,
)
from outbox.models.rollup import roll_up
from outbox.reasons import NO_REASON, Reason, ReasonCode, quoted
from outbox.smtp import Reply
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    claim_due,
    claimed,
    claimed_by_dead_worker,
    last_attempt,
    queue,
    queue_many,
    refusing,
    row,
    states,
)
from tests.states import set_state

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


def test_the_mark_is_granted_once_it_is_committed() -> None:
    """Protocol item 72."""
    message = queue(account())
    mark = Mark(attempt_id=claimed(message).attempt_id)
    record.write([mark], USING)
    assert mark.granted
    assert last_attempt(message).dot_marked_at is not None


def test_the_mark_is_rejected_after_a_cancel() -> None:
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


def test_the_mark_is_rejected_after_a_sweep() -> None:
    """Protocol item 98: a worker that lost its claims sends no final dot."""
    message = queue(account())
    job = claimed_by_dead_worker(message)
    sweep(USING)
    assert states(message) == [State.DEFERRED]
    mark = Mark(attempt_id=job.attempt_id)
    record.write([mark], USING)
    assert not mark.granted


def test_a_result_after_a_sweep_is_kept_but_changes_no_state() -> None:
    """Protocol item 98."""
    message = queue(account())
    job = claimed_by_dead_worker(message)
    sweep(USING)
    late = ended(job, Verdict(state=State.FAILED, reply=Reply(550, "5.1.1", "5.1.1 no")))
    record.write([late], USING)
    assert late.fenced
    assert states(message) == [State.DEFERRED]
    attempt = last_attempt(message)
    assert (attempt.outcome, attempt.late_reply) == (Outcome.ABANDONED, "550 5.1.1 no")


NO_REPLY = Reason(ReasonCode.ATTEMPTS_FAILED, attempts=3, why=Reason(ReasonCode.CONNECTION_RESET))


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
def test_a_late_reply_resolves_the_uncertainty_of_its_attempt(
    verdict: Verdict, state: State
) -> None:
    message = queue(account())
    job = claimed_by_dead_worker(message)
    record.write([Mark(attempt_id=job.attempt_id)], USING)
    sweep(USING)
    assert states(message) == [State.UNCERTAIN]
    record.write([ended(job, verdict)], USING)
    assert states(message) == [state]
    events = Event.objects.filter(kind=EventKind.LATE_REPLY)
    changes = list(events.values_list("from_state", "to_state"))
    assert changes == ([] if state == State.UNCERTAIN else [(State.UNCERTAIN, state)])
    message.refresh_from_db()
    assert message.status == state  # one recipient: the same words


@pytest.mark.parametrize("number", [1, 2], ids=["the only recipient", "one of two"])
@pytest.mark.parametrize("state", CHANGES[State.SENDING])
def test_the_message_s_status_is_rolled_up_from_each_state(state: State, number: int) -> None:
    """Messages with one recipient have a shortcut with the same result."""
    message = queue(account(), *(f"bob{i}@example.net" for i in range(number)))
    verdicts = [Verdict(state=state, next_attempt_at=NOW) for _ in range(number)]
    record.write([ended(claimed(message), *verdicts)], USING)
    written = Message.objects.values_list(*ROLLED_UP).get()
    Message.objects.update(status=Status.DRAFT, failed_count=0)
    roll_up([message.pk], NOW, USING)
    assert Message.objects.values_list(*ROLLED_UP).get() == written


def test_a_late_reply_does_not_resolve_another_attempt() -> None:
    message = queue(account())
    old = claimed_by_dead_worker(message)
    record.write([Mark(attempt_id=old.attempt_id)], USING)
    sweep(USING)
    api.resolve_as_unsent(message)
    new = claimed(message)
    record.write([Mark(attempt_id=new.attempt_id)], USING)
    record.write([ended(old, Verdict(state=State.FAILED, reply=Reply(550, "", "no")))], USING)
    assert states(message) == [State.SENDING]
    record.write([ended(new, Verdict(state=State.UNCERTAIN))], USING)
    record.write([ended(old, Verdict(state=State.FAILED, reply=Reply(550, "", "no")))], USING)
    assert states(message) == [State.UNCERTAIN]


def test_the_last_reply_stays_when_the_next_attempt_gets_none() -> None:
    """Protocol item 105: an expired recipient shows the last reply of a server."""
    message = queue(account())
    greylisted = Reply(451, "4.7.1", "4.7.1 greylisted")
    waits = Verdict(state=State.DEFERRED, next_attempt_at=NOW, reply=greylisted, command="RCPT")
    record.write([ended(claimed(message), waits)], USING)
    silent = Verdict(state=State.EXPIRED, reason=NO_REPLY)
    record.write([ended(claimed(message), silent)], USING)
    recipient = row(message)
    assert (recipient.state, recipient.reason) == (State.EXPIRED, NO_REPLY)
    assert (recipient.reply_code, recipient.reply_enhanced) == (451, "4.7.1")
    assert (recipient.reply_text, recipient.reply_command) == ("4.7.1 greylisted", "RCPT")
    assert last_attempt(message).reply_code is None  # of that attempt there was none


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no \0 way", "no \ufffd way"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("中文 🙂 ok", "中文 🙂 ok"),
    ],
)
def test_any_text_of_a_server_can_be_stored(said: str, kept: str) -> None:
    """Protocol item 84, although RFC 5321 has no such bytes: only the database would fail."""
    message = queue(account())
    verdict = Verdict(state=State.FAILED, reason=quoted(said), reply=Reply(550, "", said))
    record.write(
        [ended(claimed(message), verdict, reason=quoted(said), transfer=said, traceback=said)],
        USING,
    )
    recipient, attempt = row(message), last_attempt(message)
    assert recipient.reply_text == str(recipient.reason) == kept
    assert (
        attempt.reply_text == str(attempt.reason) == attempt.transfer == attempt.traceback == kept
    )
    assert attempt.result_rows[0]["text"] == kept


def test_a_job_that_was_not_begun_is_returned_unchanged() -> None:
    fresh, tried = queue_many(account(), 2)
    worker = a_worker()
    set_state(Recipient.objects.filter(message=tried), State.DEFERRED, attempts=3)
    jobs = claim_due(fresh.account, worker)
    record.write([JobsReturned(jobs=jobs, worker_id=worker.pk)], USING)
    assert (states(fresh), states(tried)) == ([State.QUEUED], [State.DEFERRED])
    assert not Attempt.objects.exists()
    fresh.refresh_from_db()
    assert fresh.status == Status.QUEUED


@pytest.mark.parametrize("begun", ["marked", "cancelled", "of another worker"])
def test_a_job_of_another_worker_is_not_returned(begun: str) -> None:
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
    record.write([JobsReturned(jobs=[job], worker_id=worker.pk)], USING)
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
def test_one_rejected_row_does_not_affect_its_group() -> None:
    """The eleven others are written normally."""
    messages = queue_many(account(), 12)
    jobs = [claimed(message) for message in messages]
    poison = Verdict(state=State.SENT, reply=Reply(250, "", "poison"))
    with refusing("outbox_recipient", "NEW.reply_text = 'poison'"), recorder() as writer:
        for number, job in enumerate(jobs):
            writer.put(ended(job, *([poison] if number == 5 else [])))
    assert states() == [State.SENT] * 12  # also the refused one's, less its texts
    refused = last_attempt(messages[5])
    assert refused.reason == Reason(ReasonCode.RECORD_REFUSED)
    assert "this row is refused" in refused.traceback
    assert not last_attempt(messages[6]).reason


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_an_item_that_our_code_cannot_write_stops_no_other() -> None:
    """Even an error of another kind does not end the recorder's thread."""
    first, second = queue_many(account(), 2)
    jobs = [claimed(first), claimed(second)]
    unwritable = ended(jobs[0], phases_ms=object())  # no type the database knows
    with recorder() as writer:
        writer.put(unwritable)
        writer.put(ended(jobs[1]))
    assert states() == [State.SENT, State.SENT]


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_failing_signal_receiver_stops_nothing() -> None:
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
def test_a_rejected_session_row_costs_only_the_reference_to_it() -> None:
    message = queue(account())
    session = SmtpSession(host="h" * 10, port=25, started_at=NOW, extensions={"X": "\0"})
    session.port = -1  # a check of the database's own refuses it
    with recorder() as writer:
        writer.put(SessionOpened(session=session))
        writer.put(ended(claimed(message), session=session))
    assert states(message) == [State.SENT]
    assert last_attempt(message).session_id is None


@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_session_whose_texts_are_rejected_is_stored_without_them() -> None:
    message = queue(account())
    session = SmtpSession(host="mx.example.net", port=25, started_at=NOW, greeting="mx ready")
    session.extensions = {"SIZE": object()}  # no type the database knows
    with recorder() as writer:
        writer.put(SessionOpened(session=session))
        writer.put(SessionClosed(session=session, closing="[]"))
        writer.put(ended(claimed(message), session=session))
    stored = last_attempt(message).session
    assert stored is not None
    assert (stored.host, stored.port, stored.greeting) == ("mx.example.net", 25, "")
    assert stored.ended_at is not None
    assert row(message).remote_host == "mx.example.net"


@pytest.mark.every_database
@pytest.mark.django_db(transaction=True)  # threads see only what is committed
def test_a_rejected_session_costs_no_later_result_its_texts() -> None:
    """All messages for a refused target refer to one session. Its host goes into recipients."""
    messages = queue_many(account(), 3)
    session = SmtpSession(host="poison", port=-1, started_at=NOW)
    waits = Verdict(state=State.DEFERRED, next_attempt_at=NOW, reply=Reply(454, "", "No TLS"))
    with refusing("outbox_recipient", "NEW.remote_host = 'poison'"), recorder() as writer:
        writer.put(SessionOpened(session=session))
        for message in messages:
            writer.put(ended(claimed(message), waits, session=session))
    assert states() == [State.DEFERRED] * 3
    for message in messages:
        assert last_attempt(message).reason == NO_REASON
        assert message.recipients.get().reply_text == "No TLS"


def test_a_result_with_much_text_is_written_row_by_row() -> None:
    """PostgreSQL would write the rows of one statement to disk and read them for each row."""
    message = queue(account(), *(f"r{number}@example.net" for number in range(20)))
    job = claimed(message)
    long = Reply(451, "4.3.0", "4.3.0 " + "x" * 60_000)
    verdict = Verdict(state=State.DEFERRED, next_attempt_at=NOW, reply=long, command="RCPT")
    result = Result(job=job, verdicts=[verdict] * len(job.recipients), outcome=Outcome.DEFERRED)
    assert result.size > BYTES_MAX
    record.write([result], USING)
    assert states(message) == [State.DEFERRED] * 20
    assert {recipient.reply_text for recipient in message.recipients.all()} == {long.text}
