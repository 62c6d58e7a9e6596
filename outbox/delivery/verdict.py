"""The only judge: what a reply or a fault means for a recipient and for the route.

Connection. What fails before the first MAIL (name, connect, greeting, EHLO, TLS, login) is the
route's fault, never the mail's: the recipient waits for the route, no attempt is counted against
it, and the route's circuit is told. A login that is refused, a certificate that does not fit or a
STARTTLS that is missing will not mend itself: the circuit opens at once and a person is told.

Session. A connection that breaks after MAIL and before the dot leaves every recipient certainly
unsent. On a reused connection whose first command failed that is the old connection's fault: try
again at once, uncounted. Otherwise it counts as an attempt, so that a mail that kills a server
backs off. 421 is such a break. 530 or 535 to MAIL speaks of our login: the route's fault, so the
recipient waits uncounted. What we withdrew ourselves before the dot goes back uncounted, too.

Message. A refusal of MAIL, DATA or the dot speaks for every recipient it concerned: 5yz fails
them, 4yz defers them. A mail that cannot be put to this server at all (too large, needs SMTPUTF8)
fails with a reason of ours.

Recipient. A refusal of RCPT speaks for that recipient alone. 452 behind accepted ones means "too
many at once", and so does a limit the server stated: they go in a further transaction, uncounted.

The dot. A final reply decides. Without one the recipient is uncertain: nobody knows, and nothing is
sent again but by the account's policy or a person.

Storage. A source that cannot be read at present says nothing of the route and goes unsaid by any
server: its recipients wait as after a transient refusal, counted.

Giving up. A deferral past the queue lifetime or the greatest number of attempts is expired, and
keeps the last real reply. A retry by a person begins a new series: the limit and the back-off count
the attempts since then, while the number that is displayed counts all of them.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from outbox.delivery.schedule import Backoff, moment_after, next_try
from outbox.models.states import State
from outbox.smtp import (
    Disposition,
    FaultKind,
    Phase,
    RecipientOutcome,
    Reply,
    SmtpFault,
    Transaction,
)

_LOGIN_CODES = frozenset({432, 530, 534, 535, 538})
_NEEDS_PERSON = frozenset(
    {
        FaultKind.AUTH_REJECTED,
        FaultKind.AUTH_UNAVAILABLE,
        FaultKind.CERT_EXPIRED,
        FaultKind.CERT_NAME,
        FaultKind.CERT_UNTRUSTED,
        FaultKind.NO_STARTTLS,
        FaultKind.FORBIDDEN,
        FaultKind.INJECTION,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the judge needs to know of settings, clock and chance."""

    backoff: Backoff
    attempts_max: int
    resend_after: dt.timedelta | None  # None: an uncertain recipient waits for a person
    now: dt.datetime
    chance: float  # uniform in [0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known of a recipient before this attempt."""

    attempts: int
    expires_at: dt.datetime | None
    is_first_on_connection: bool = True
    attempts_at_retry: int = 0  # attempts before the last retry by a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state a recipient goes to, and why."""

    state: State
    reason: str = ""
    next_attempt_at: dt.datetime | None = None
    counts: bool = True  # as an attempt against the recipient
    reply: Reply | None = None
    command: str = ""


class RouteEffect(StrEnum):
    NONE = "none"
    FAULT = "fault"  # one more in a row; enough of them open the circuit
    OPEN = "open"  # opens the circuit at once
    OPEN_FOR_PERSON = "open_for_person"  # the same, and the owner has to act


def judge_route(fault: SmtpFault) -> RouteEffect:
    """Tell what a fault in opening a connection means for its route."""
    if fault.kind in _NEEDS_PERSON:
        return RouteEffect.OPEN_FOR_PERSON
    if fault.kind == FaultKind.REJECTED and fault.reply and fault.reply.permanent:
        return RouteEffect.OPEN
    return RouteEffect.FAULT


def judge_transaction(transaction: Transaction) -> RouteEffect:
    """Tell what a transaction means for its route: a login asked for at MAIL is no mail's fault."""
    if any(_speaks_of_login(outcome, transaction.fault) for outcome in transaction.recipients):
        return RouteEffect.OPEN_FOR_PERSON
    return RouteEffect.NONE


def judge_unopened(fault: SmtpFault, route_retry_at: dt.datetime, case: Case) -> Verdict:
    """Judge a recipient whose connection could not be opened: it waits for the route."""
    return Verdict(
        state=State.DEFERRED,
        reason=fault.detail,
        next_attempt_at=_before_expiry(route_retry_at, case),
        counts=False,
        reply=fault.reply,
        command=fault.phase.value.upper() if fault.reply else "",
    )


def judge_unread(reason: str, case: Case, policy: Policy) -> Verdict:
    """Judge a recipient whose mail cannot be read from storage at present."""
    return _later(RecipientOutcome(address=""), case, policy, reason)


def judge_recipients(
    transaction: Transaction, cases: Sequence[Case], policy: Policy
) -> list[Verdict]:
    """Judge each recipient of a transaction, in the envelope's order."""
    some_accepted = any(
        outcome.disposition in {Disposition.ACCEPTED, Disposition.UNCERTAIN}
        for outcome in transaction.recipients
    )
    return [
        _judge(outcome, transaction.fault, case, policy, some_accepted=some_accepted)
        for outcome, case in zip(transaction.recipients, cases, strict=True)
    ]


def _judge(
    outcome: RecipientOutcome,
    fault: SmtpFault | None,
    case: Case,
    policy: Policy,
    *,
    some_accepted: bool,
) -> Verdict:
    if _speaks_of_login(outcome, fault):
        return _not_logged_in(outcome, fault, case, policy)
    match outcome.disposition:
        case Disposition.ACCEPTED | Disposition.PERMANENT:
            return _final(outcome)
        case Disposition.UNCERTAIN:
            return _uncertain(outcome, fault, policy)
        case Disposition.NOT_TRIED:
            return _untried(outcome, fault, case, policy)
        case Disposition.OVERFLOW if some_accepted or outcome.reply is None:
            reason = "The server takes fewer recipients at once; the rest follow."
            return _again_at_once(policy, reason, outcome)
        case _:
            return _later(outcome, case, policy, _reply_text(outcome))


def _final(outcome: RecipientOutcome) -> Verdict:
    state = State.SENT if outcome.disposition == Disposition.ACCEPTED else State.FAILED
    return Verdict(state=state, reason=outcome.reason, reply=outcome.reply, command=outcome.command)


def _not_logged_in(
    outcome: RecipientOutcome, fault: SmtpFault | None, case: Case, policy: Policy
) -> Verdict:
    """The recipient is due again as soon as its route is; the circuit keeps it until then."""
    return Verdict(
        state=State.DEFERRED,
        reason=fault.detail if fault else _reply_text(outcome),
        next_attempt_at=_before_expiry(policy.now, case),
        counts=False,
        reply=outcome.reply or (fault.reply if fault else None),
        command=outcome.command or (fault.phase.value.upper() if fault else ""),
    )


def _uncertain(outcome: RecipientOutcome, fault: SmtpFault | None, policy: Policy) -> Verdict:
    why = fault.detail if fault else "the connection ended"
    resend_at = None
    if policy.resend_after is not None:
        resend_at = moment_after(policy.now, policy.resend_after)
    return Verdict(
        state=State.UNCERTAIN,
        reason=f"The whole mail was sent, but its answer was lost: {why}",
        next_attempt_at=resend_at,
        command=outcome.command,
    )


def _untried(
    outcome: RecipientOutcome, fault: SmtpFault | None, case: Case, policy: Policy
) -> Verdict:
    if fault is None:  # e.g. another recipient's refusal ended the transaction early
        return _again_at_once(policy, "", outcome)
    if fault.kind == FaultKind.ABANDONED:
        return _again_at_once(policy, fault.detail, outcome)
    if not case.is_first_on_connection and fault.phase in {Phase.IDLE, Phase.RSET, Phase.MAIL}:
        return _again_at_once(policy, f"The reused connection had ended: {fault.detail}", outcome)
    return _later(outcome, case, policy, fault.detail, fault.reply)


def _again_at_once(policy: Policy, reason: str, outcome: RecipientOutcome) -> Verdict:
    return Verdict(
        state=State.QUEUED,
        reason=reason,
        next_attempt_at=policy.now,
        counts=False,
        reply=outcome.reply,
        command=outcome.command,
    )


def _later(
    outcome: RecipientOutcome,
    case: Case,
    policy: Policy,
    reason: str,
    fault_reply: Reply | None = None,
) -> Verdict:
    attempts = case.attempts + 1
    reply = outcome.reply or fault_reply
    since_retry = attempts - case.attempts_at_retry
    given_up = since_retry >= policy.attempts_max or (
        case.expires_at is not None and policy.now >= case.expires_at
    )
    if given_up:
        return Verdict(
            state=State.EXPIRED,
            reason=f"Given up after {attempts} attempts; the last answer was: {reason}",
            reply=reply,
            command=outcome.command,
        )
    moment = next_try(
        policy.backoff,
        attempts=since_retry,
        now=policy.now,
        chance=policy.chance,
        reply_text=reply.text if reply else "",
    )
    return Verdict(
        state=State.DEFERRED,
        reason=reason,
        next_attempt_at=_before_expiry(moment, case),
        reply=reply,
        command=outcome.command,
    )


def _before_expiry(moment: dt.datetime, case: Case) -> dt.datetime:
    return moment if case.expires_at is None else min(moment, case.expires_at)


def _speaks_of_login(outcome: RecipientOutcome, fault: SmtpFault | None) -> bool:
    if fault is not None and fault.kind == FaultKind.AUTH_UNAVAILABLE:
        return outcome.disposition == Disposition.NOT_TRIED
    return (
        outcome.command == "MAIL"
        and outcome.reply is not None
        and outcome.reply.code in _LOGIN_CODES
    )


def _reply_text(outcome: RecipientOutcome) -> str:
    if outcome.reply is None:
        return outcome.reason
    first_line = re.split(r"[\r\n]", outcome.reply.text, maxsplit=1)[0]
    return f"{outcome.reply.code} {first_line}"
