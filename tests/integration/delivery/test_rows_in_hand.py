"""Claimed recipients stay in the index of waiting ones until their results are recorded.

A claim passes over each of them, so its time must grow no faster than their number, and their
number is limited.
"""

import asyncio
import datetime as dt
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone

from outbox.conf import get_conf
from outbox.delivery import due, lease, record
from outbox.delivery.claimed import ClaimedJobs
from outbox.delivery.context import DeliveryContext, run_in
from outbox.delivery.job import Mark, Result
from outbox.delivery.recorder import Recorder
from outbox.delivery.verdict import Verdict
from outbox.models import Account, Attempt, Outcome, Recipient, State
from outbox.reasons import quoted
from outbox.smtp import Reply
from tests.integration.delivery.mail_client import (
    USING,
    a_worker,
    account,
    claim_due,
    destination,
    is_sqlite,
    last_attempt,
    queue,
    queue_many,
)
from tests.states import set_state

pytestmark = pytest.mark.django_db

T = TypeVar("T")
REFUSAL = Reply(550, "5.1.1", "5.1.1 no such user")


def in_hand(sender: Account, number: int, **values: Any) -> None:
    """Create claimed rows that sort before all others, as earlier claims leave them."""
    message = queue(sender)
    message.recipients.all().delete()
    attempt = Attempt.objects.create(message=message, started_at=timezone.now())
    before = timezone.now() - dt.timedelta(hours=1)
    Recipient.objects.bulk_create(
        Recipient(
            message=message, address=f"to{n}@example.net", destination=destination(sender),
            state=State.SENDING, next_attempt_at=before, attempt=attempt, **values,
        )
        for n in range(number)
    )  # fmt: skip


@pytest.mark.system
def test_a_claim_passes_over_five_thousand_rows_in_hand() -> None:
    sender = account()
    in_hand(sender, 5_000)
    queue_many(sender, 30)
    jobs = claim_due(sender, limit=20)
    assert [job.recipients[0].address for job in jobs] == [
        f"bob{number}@example.net" for number in range(20)
    ]


def rows_visited(sender: Account) -> int:
    """Return how much work a claim is: rows that PostgreSQL fetches, or steps that SQLite takes."""
    if is_sqlite():
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection.connection.set_progress_handler(count, 10)
        try:
            due.waiting(USING)
            claim_due(sender, limit=20)
        finally:
            connection.connection.set_progress_handler(None, 0)
        return steps
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_recipient")
    before = _fetched()
    due.waiting(USING)
    claim_due(sender, limit=20)
    return _fetched() - before


def _fetched() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
            "WHERE relname = 'outbox_recipient'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.system
def test_the_work_of_a_claim_is_linear_in_the_rows_in_hand() -> None:
    visited = []
    for number in (500, 5_000):
        sender = account()
        in_hand(sender, number)
        queue_many(sender, 30)
        visited.append(rows_visited(sender))
    assert visited[1] < 15 * visited[0]


def test_where_all_is_in_hand_nothing_is_due() -> None:
    sender = account()
    in_hand(sender, 50)
    assert due.waiting(USING) == {}
    assert claim_due(sender) == []


@pytest.mark.parametrize("priority", [1, 5], ids=["urgent", "bulk"])
def test_a_level_of_which_all_is_in_hand_has_no_share(priority: int) -> None:
    sender = account()
    in_hand(sender, 200, priority=priority)
    queue_many(sender, 40)
    assert len(claim_due(sender, limit=40)) == 40


def test_a_sender_whose_rows_are_all_in_hand_has_no_share() -> None:
    sender = account()
    busy, other = (User.objects.create_user(name) for name in ("busy", "other"))
    in_hand(sender, 200, sender_key=busy.pk)
    queue_many(sender, 40, owner=other)
    assert len(claim_due(sender, limit=40)) == 40


@pytest.mark.django_db(transaction=True)
def test_a_worker_limits_what_it_has_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.delivery.claimed._IN_HAND_MAX", 20)
    sender = account()
    queue_many(sender, 60)

    async def claim_three_times(context: DeliveryContext) -> list[int]:
        claimed = ClaimedJobs(context)
        counts = []
        for _ in range(3):
            await claimed.wait_for_room(where, 100)
            await claimed.fill(where, 100)
            counts.append(len(claimed))
            for job in [claimed.take() for _ in range(5)]:
                assert job is not None
                if len(counts) == 2:
                    context.recorder.put(refused(job))
        claimed.return_all()
        return counts

    where = destination(sender)
    # Jobs that are being delivered count as well, until their results are recorded.
    assert in_context(claim_three_times) == [20, 15, 15]
    assert Recipient.objects.filter(state=State.FAILED).count() == 5


@pytest.mark.django_db(transaction=True)
def test_nothing_is_claimed_while_most_jobs_are_left() -> None:
    """A claim costs as much as several jobs."""
    sender = account()
    queue_many(sender, 12)
    where = destination(sender)

    async def claim_three_times(context: DeliveryContext) -> list[int]:
        claimed = ClaimedJobs(context)
        numbers = []
        for taken in (0, 3, 1):
            for _ in range(taken):
                claimed.take()
            await claimed.fill(where, 8)
            numbers.append(len(claimed))
        return numbers

    assert in_context(claim_three_times) == [8, 5, 8]


def test_a_claim_a_mark_and_the_end_of_an_attempt_write_no_index_entry() -> None:
    if is_sqlite():
        pytest.skip("only PostgreSQL writes new index entries for columns that did not change")
    sender = account()
    queue_many(sender, 40)
    earlier = updates()
    jobs = claim_due(sender, limit=40)
    assert updates() - earlier == {"recipient": 40, "recipient on its page": 40}
    record.write([Mark(attempt_id=job.attempt_id) for job in jobs], USING)
    earlier = updates()
    record.write([refused(job) for job in jobs], USING)
    assert updates() - earlier == {
        "attempt": 40,
        "attempt on its page": 40,
        "message": 40,
        "recipient": 40,
    }


def test_a_mark_writes_no_index_entry() -> None:
    if is_sqlite():
        pytest.skip("only PostgreSQL writes new index entries for columns that did not change")
    sender = account()
    queue_many(sender, 40)
    jobs = claim_due(sender, limit=40)
    earlier = updates()
    record.write([Mark(attempt_id=job.attempt_id) for job in jobs], USING)
    assert updates() - earlier == {"attempt": 40, "attempt on its page": 40}


def in_context(work: Callable[[DeliveryContext], Awaitable[T]]) -> T:
    """Run a coroutine with what an engine gives to its runners."""

    async def main() -> T:
        with ThreadPoolExecutor(1) as claimer, ThreadPoolExecutor(1) as renewer:
            held = await run_in(claimer, lambda: lease.register("", USING), USING)
            recorder = Recorder(USING, asyncio.get_running_loop())
            context = DeliveryContext(
                conf=get_conf(), lease=held, recorder=recorder, claimer=claimer, renewer=renewer,
                stopping=threading.Event(), spawn=lambda coroutine: coroutine.close(),
            )  # fmt: skip
            try:
                return await work(context)
            finally:
                recorder.stop(30)
                claimer.submit(connections.close_all)

    return asyncio.run(main())


def refused(job: object) -> Result:
    verdict = Verdict(
        state=State.FAILED, reply=REFUSAL, command="RCPT", reason=quoted("No such user.")
    )
    return Result(job=job, verdicts=[verdict], outcome=Outcome.FAILED)  # type: ignore[arg-type]  # it is a job


def updates() -> Counter[str]:
    """Count the updates of rows, and those of them that stayed on their page (HOT).

    PostgreSQL has not reported all of the earlier transactions yet, so only differences count.
    """
    counts: Counter[str] = Counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables")
        for name, count, hot in cursor.fetchall():
            if (table := name.removeprefix("outbox_")) in {"attempt", "message", "recipient"}:
                counts[table], counts[f"{table} on its page"] = count, hot
    return counts


def test_what_an_attempt_meant_for_its_only_recipient_is_stored_once() -> None:
    message = queue(account())
    [job] = claim_due(message.account)
    record.write([refused(job)], USING)
    attempt = last_attempt(message)
    assert attempt.results == ""
    assert attempt.result_rows == [
        {
            "recipient": message.recipients.get().pk,
            "address": "bob@example.net",
            "state": "failed",
            "command": "RCPT",
            "code": 550,
            "enhanced": "5.1.1",
            "text": "5.1.1 no such user",
        }
    ]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(State.EXPIRED, Outcome.FAILED), (State.HELD, Outcome.QUARANTINED)],
)
def test_a_state_that_no_outcome_says_is_stored_with_the_attempt(
    state: State, outcome: Outcome
) -> None:
    message = queue(account())
    [job] = claim_due(message.account)
    record.write([Result(job=job, verdicts=[Verdict(state=state)], outcome=outcome)], USING)
    assert [row["state"] for row in last_attempt(message).result_rows] == [state]


def test_a_sweeper_s_outcome_is_not_taken_for_the_worker_s_own() -> None:
    """Both say "uncertain"; only the one that has the session was written by the worker."""
    message = queue(account())
    worker = a_worker()
    [job] = claim_due(message.account, worker)
    Attempt.objects.update(outcome=Outcome.UNCERTAIN, ended_at=timezone.now())
    set_state(Recipient.objects, State.UNCERTAIN, next_attempt_at=None)
    late = Result(
        job=job, verdicts=[Verdict(state=State.SENT, reply=REFUSAL)], outcome=Outcome.SENT,
        number_in_session=1,
    )  # fmt: skip
    record.write([late], USING)
    assert late.fenced
    assert message.recipients.get().state == State.SENT
