"""The effect of a transaction on each recipient, scope by scope."""

import datetime as dt
from dataclasses import replace

import pytest

from outbox.delivery.verdict import Case, Verdict
from outbox.models import State
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Disposition, FaultKind, Phase, RecipientOutcome, SmtpFault
from tests.unit.delivery.judging import (
    BROKE_OFF,
    CASE,
    NOW,
    POLICY,
    after,
    fault,
    judge,
    outcome,
    reused,
)

SENT, FAILED, DEFERRED = State.SENT, State.FAILED, State.DEFERRED
QUEUED, UNCERTAIN = State.QUEUED, State.UNCERTAIN
ACCEPTED, NOT_TRIED = Disposition.ACCEPTED, Disposition.NOT_TRIED


def only(found: RecipientOutcome, broke: SmtpFault | None = None, *, case: Case = CASE) -> Verdict:
    [verdict] = judge(found, broke=broke, case=case)
    return verdict


@pytest.mark.parametrize(
    ("text", "at", "state"),
    [
        ("250 2.0.0 queued as 4F2", "DOT", SENT),
        # Message: MAIL, DATA and the dot speak for all (items 58 and 69).
        ("550 5.7.1 not from you", "MAIL", FAILED),
        ("451 4.3.0 later", "MAIL", DEFERRED),
        ("452 4.3.1 disk full", "MAIL", DEFERRED),
        ("554 5.5.1 no valid recipients", "DATA", FAILED),
        ("451 4.3.0 later", "DATA", DEFERRED),
        ("554 5.7.1 spam", "DOT", FAILED),
        ("452 4.3.1 disk full", "DOT", DEFERRED),
        # Recipient: RCPT speaks for one (item 59).
        ("550 5.1.1 unknown", "RCPT", FAILED),
        ("551 5.1.6 moved", "RCPT", FAILED),
        ("450 4.2.0 greylisted", "RCPT", DEFERRED),
        ("452 4.2.2 mailbox full", "RCPT", DEFERRED),
        # 503 where the session is to blame comes as transient (item 95).
        ("503 5.5.1 bad sequence", "DOT", DEFERRED),
    ],
)
def test_a_reply_decides_and_is_kept(text: str, at: str, state: State) -> None:
    disposition = {
        SENT: ACCEPTED,
        FAILED: Disposition.PERMANENT,
        DEFERRED: Disposition.TRANSIENT,
    }[state]
    found = outcome(disposition, text, at=at)
    verdict = only(found)
    assert (verdict.state, verdict.counts) == (state, True)
    assert (verdict.reply, verdict.command) == (found.reply, at)
    assert (verdict.next_attempt_at is None) == (state != DEFERRED)


def test_a_message_that_this_server_cannot_accept_fails_with_a_reason_of_the_outbox() -> None:
    """Protocol items 48 and 51."""
    why = Reason(ReasonCode.MESSAGE_TOO_LARGE, size=40_000_000, limit=30_000_000)
    verdict = only(outcome(Disposition.PERMANENT, reason=why))
    assert (verdict.state, verdict.reason, verdict.reply) == (FAILED, why, None)


@pytest.mark.parametrize(
    "broke",
    [
        fault(Phase.RCPT, FaultKind.SHUTDOWN, "421 4.3.2 going down"),  # item 89
        fault(Phase.DATA, FaultKind.SHUTDOWN, "421 4.3.2 going down"),
        fault(Phase.BODY, FaultKind.CLOSED),  # item 71: certain, the dot never left
        fault(Phase.BODY, FaultKind.RESET),
        fault(Phase.BODY, FaultKind.TIMEOUT),
        fault(Phase.DATA, FaultKind.PROTOCOL),
        fault(Phase.RCPT, FaultKind.PROTOCOL, "503 5.5.1 bad sequence"),  # item 95
    ],
    ids=str,
)
@pytest.mark.parametrize("case", [CASE, reused()], ids=["first", "reused"])
def test_a_session_lost_before_the_dot_is_an_attempt_and_no_more(
    broke: SmtpFault, case: Case
) -> None:
    verdict = only(outcome(NOT_TRIED), broke, case=case)
    assert (verdict.state, verdict.counts) == (DEFERRED, True)
    assert verdict.next_attempt_at == after(60)
    assert (verdict.reason, verdict.reply) == (BROKE_OFF, broke.reply)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.RSET, Phase.MAIL])
def test_a_reused_connection_that_had_ended_costs_nothing(phase: Phase) -> None:
    """Protocol items 90 and 94."""
    broke = fault(phase, FaultKind.SHUTDOWN, "421 4.4.2 idle for too long")
    verdict = only(outcome(NOT_TRIED), broke, case=reused())
    assert (verdict.state, verdict.counts) == (QUEUED, False)
    assert verdict.next_attempt_at == NOW


def test_a_new_session_that_is_lost_at_mail_costs_an_attempt() -> None:
    """Otherwise a server that always closes at MAIL would be retried forever without a pause."""
    verdict = only(outcome(NOT_TRIED), fault(Phase.MAIL, FaultKind.CLOSED))
    assert (verdict.state, verdict.counts) == (DEFERRED, True)


def test_a_rejection_is_kept_when_its_session_is_lost_later() -> None:
    """Protocol items 53, 54 and 89: each recipient keeps its own result."""
    verdicts = judge(
        outcome(Disposition.PERMANENT, "550 5.1.1 unknown"),
        outcome(NOT_TRIED),
        broke=fault(Phase.DATA, FaultKind.SHUTDOWN, "421 4.3.2 going down"),
    )
    assert [verdict.state for verdict in verdicts] == [FAILED, DEFERRED]


@pytest.mark.parametrize(
    ("found", "broke"),
    [
        pytest.param(
            outcome(Disposition.PERMANENT, "535 5.7.8 log in", at="MAIL"), None, id="item 43"
        ),
        pytest.param(
            outcome(Disposition.TRANSIENT, "432 4.7.12 renew it", at="MAIL"), None, id="432"
        ),
        pytest.param(
            outcome(NOT_TRIED),
            fault(Phase.MAIL, FaultKind.AUTH_UNAVAILABLE, "530 5.7.0 log in"),
            id="item 44",
        ),
        pytest.param(
            outcome(NOT_TRIED),
            fault(Phase.RCPT, FaultKind.AUTH_UNAVAILABLE, "530 5.7.0 STARTTLS first"),
            id="530 to RCPT",
        ),
    ],
)
def test_a_login_that_is_required_too_late_costs_no_attempt(
    found: RecipientOutcome, broke: SmtpFault | None
) -> None:
    verdict = only(found, broke, case=reused())
    assert (verdict.state, verdict.counts) == (DEFERRED, False)
    assert verdict.next_attempt_at == NOW  # the circuit keeps it; a person's repair frees it
    assert verdict.reply is not None
    assert verdict.command in {"MAIL", "RCPT"}


def test_recipients_over_the_servers_limit_follow_at_once() -> None:
    """Protocol item 56."""
    verdicts = judge(
        outcome(ACCEPTED, "250 2.0.0 ok", at="DOT"),
        outcome(Disposition.OVERFLOW, "452 4.5.3 too many recipients"),
    )
    assert [verdict.state for verdict in verdicts] == [SENT, QUEUED]
    assert (verdicts[1].counts, verdicts[1].next_attempt_at) == (False, NOW)
    assert verdicts[1].reply is not None


def test_they_follow_at_once_when_the_reply_for_the_others_was_lost() -> None:
    verdicts = judge(
        outcome(Disposition.UNCERTAIN),
        outcome(Disposition.OVERFLOW, "552 5.5.3 too many recipients"),
        broke=fault(Phase.DOT, FaultKind.CLOSED),
    )
    assert [verdict.state for verdict in verdicts] == [UNCERTAIN, QUEUED]


def test_an_overflow_without_an_accepted_recipient_is_deferred() -> None:
    """Otherwise the same recipients would be retried forever without a pause."""
    verdicts = judge(
        outcome(Disposition.TRANSIENT, "451 4.3.0 later", at="DOT"),
        outcome(Disposition.OVERFLOW, "452 4.5.3 too many recipients"),
    )
    assert [(verdict.state, verdict.counts) for verdict in verdicts] == [(DEFERRED, True)] * 2


def test_recipients_over_a_stated_limit_are_queued_again_and_cost_no_attempt() -> None:
    """Protocol item 60: each transaction includes at least one of them, so this ends."""
    verdicts = judge(
        outcome(Disposition.PERMANENT, "550 5.1.1 unknown"),
        outcome(Disposition.OVERFLOW, reason=Reason(ReasonCode.RECIPIENTS_LIMITED)),
    )
    assert [(verdict.state, verdict.counts) for verdict in verdicts] == [
        (FAILED, True),
        (QUEUED, False),
    ]


def test_a_transaction_withdrawn_before_the_dot_costs_no_attempt() -> None:
    verdict = only(outcome(NOT_TRIED), fault(Phase.BODY, FaultKind.ABANDONED))
    assert (verdict.state, verdict.counts, verdict.next_attempt_at) == (QUEUED, False, NOW)


@pytest.mark.parametrize(
    ("resend_after", "resend_at"),
    [
        (None, None),  # hold: a person decides
        (dt.timedelta(hours=4), NOW + dt.timedelta(hours=4)),
        (dt.timedelta.max, dt.datetime(9999, 1, 1, tzinfo=dt.UTC)),  # what an admin may type
    ],
)
def test_a_lost_reply_is_uncertain_and_waits_for_the_policy(
    resend_after: dt.timedelta | None, resend_at: dt.datetime | None
) -> None:
    [verdict] = judge(
        outcome(Disposition.UNCERTAIN),
        broke=fault(Phase.DOT, FaultKind.TIMEOUT),
        policy=replace(POLICY, resend_after=resend_after),
    )
    assert (verdict.state, verdict.next_attempt_at) == (UNCERTAIN, resend_at)
    assert verdict.reason == Reason(ReasonCode.REPLY_LOST, why=BROKE_OFF)
    assert verdict.reply is None


@pytest.mark.parametrize("disposition", list(Disposition))
@pytest.mark.parametrize("at_dot", [True, False])
def test_every_disposition_leads_to_one_allowed_state(
    disposition: Disposition, at_dot: bool
) -> None:
    """Protocol item 96."""
    text = {
        ACCEPTED: "250 ok",
        Disposition.TRANSIENT: "451 later",
        Disposition.PERMANENT: "550 no",
        Disposition.OVERFLOW: "452 4.5.3 too many recipients",
    }.get(disposition, "")
    broke = fault(Phase.DOT if at_dot else Phase.BODY, FaultKind.CLOSED)
    verdict = only(outcome(disposition, text, at="DOT" if at_dot else "RCPT"), broke)
    assert (
        verdict.state
        in {
            ACCEPTED: {SENT},
            Disposition.TRANSIENT: {DEFERRED},
            Disposition.PERMANENT: {FAILED},
            Disposition.UNCERTAIN: {UNCERTAIN},
            NOT_TRIED: {DEFERRED},
            Disposition.OVERFLOW: {DEFERRED},
        }[disposition]
    )
