"""A recipient expires with age or after too many attempts; protocol item 105."""

import datetime as dt
from dataclasses import replace

import pytest

from outbox.delivery.verdict import Case, judge_unread
from outbox.models import State
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Disposition, FaultKind, Phase
from tests.unit.delivery.judging import NOW, POLICY, after, fault, judge, outcome

LATER = outcome(Disposition.TRANSIENT, "451 4.7.1 greylisted")


@pytest.mark.parametrize(
    ("attempts", "expires_in", "state"),
    [
        (0, 1, State.DEFERRED),
        (57, 1, State.DEFERRED),
        (58, 1, State.DEFERRED),  # the 59th of at most 60
        (59, 1, State.EXPIRED),  # the 60th
        (500, 1, State.EXPIRED),  # the setting was lowered in the meantime
        (0, 0, State.EXPIRED),  # to the second
        (0, -86_400, State.EXPIRED),
        (0, None, State.DEFERRED),  # nothing expires
    ],
)
def test_it_expires_with_age_and_after_too_many_attempts(
    attempts: int, expires_in: float | None, state: State
) -> None:
    expires_at = None if expires_in is None else after(expires_in)
    [verdict] = judge(LATER, case=Case(attempts=attempts, expires_at=expires_at))
    assert verdict.state == state
    assert verdict.reply == LATER.reply  # the last real reply is kept


def test_a_retry_by_a_person_restarts_the_count() -> None:
    case = Case(attempts=70, attempts_at_retry=60, expires_at=None)
    [verdict] = judge(LATER, case=case)
    assert (verdict.state, verdict.next_attempt_at) == (State.DEFERRED, after(14_400))
    [verdict] = judge(LATER, case=replace(case, attempts_at_retry=70))
    assert verdict.next_attempt_at == after(60)  # the first wait of the back-off
    [verdict] = judge(LATER, case=replace(case, attempts=119))
    assert verdict.reason.code == ReasonCode.ATTEMPTS_FAILED
    assert verdict.reason.args["attempts"] == 120


def test_a_storage_that_stays_unavailable_expires_it_as_well() -> None:
    gone = Reason(ReasonCode.SOURCE_UNREADABLE, cause="no such volume")
    waiting = judge_unread(gone, Case(attempts=3, expires_at=None), POLICY)
    ended = judge_unread(gone, Case(attempts=59, expires_at=None), POLICY)
    assert (waiting.state, waiting.counts) == (State.DEFERRED, True)
    assert waiting.next_attempt_at == after(480)
    assert (ended.state, ended.reason.args["why"]) == (State.EXPIRED, gone)


def test_expiry_is_distinguished_from_a_rejection() -> None:
    [verdict] = judge(LATER, case=Case(attempts=59, expires_at=None))
    last = Reason(ReasonCode.SERVER_REPLY, reply="451 4.7.1 greylisted")
    assert verdict.reason == Reason(ReasonCode.ATTEMPTS_FAILED, attempts=60, why=last)
    assert verdict.next_attempt_at is None


def test_a_lost_session_expires_it_as_well() -> None:
    broke = fault(Phase.DATA, FaultKind.SHUTDOWN, "421 4.3.2 going down")
    [verdict] = judge(
        outcome(Disposition.NOT_TRIED), broke=broke, case=Case(attempts=59, expires_at=None)
    )
    assert (verdict.state, verdict.reply) == (State.EXPIRED, broke.reply)


@pytest.mark.parametrize(
    ("disposition", "text", "state"),
    [
        (Disposition.ACCEPTED, "250 ok", State.SENT),
        (Disposition.PERMANENT, "550 no", State.FAILED),
        (Disposition.UNCERTAIN, "", State.UNCERTAIN),
    ],
)
def test_a_final_reply_is_never_overruled_by_age(
    disposition: Disposition, text: str, state: State
) -> None:
    old = Case(attempts=99, expires_at=NOW - dt.timedelta(days=9))
    [verdict] = judge(outcome(disposition, text, at="DOT"), case=old)
    assert verdict.state == state


def test_the_last_attempt_is_due_no_later_than_the_expiry() -> None:
    """The sweep then expires it on time instead of after the next backoff."""
    [verdict] = judge(LATER, case=Case(attempts=20, expires_at=after(100)))
    assert verdict.next_attempt_at == after(100)


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=-9)), dt.timezone.max])
def test_moments_are_the_same_in_every_time_zone(zone: dt.timezone) -> None:
    """Protocol item 104: also across a change to summer time, which UTC does not know."""
    policy = replace(POLICY, now=NOW.astimezone(zone))
    [verdict] = judge(LATER, policy=policy)
    assert verdict.next_attempt_at == after(60)
