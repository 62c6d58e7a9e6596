"""The only judge: what a reply or a fault means for a recipient and for its destination.

Connection. A failure before the envelope (name, connect, greeting, EHLO, TLS, login) is a fault
of the destination, never of the message. The recipient waits for the destination, and no attempt
is counted. The fault counts towards opening the circuit. A rejected login, an invalid certificate
or a missing STARTTLS does not end by itself, so the circuit opens at once and the account is
marked as needing attention.

Routing. A domain that does not exist, or that accepts no email, fails its recipients for good. A
lookup that failed defers them, counted. A lookup says nothing about a destination. With delivery by
MX there is no login, and no person can repair the server of another domain: a rejection is never
about a login, and a server that does not fit its policy is tried again later. Servers that do not
fulfill what a domain or a message requires beyond the site's TLS floor defer its recipients,
counted. The site, which other domains share, is not at fault.

Enhanced codes. `smtp.status` decides what a rejection is about, by the enhanced code before the
basic code. A reply that the system accepts nothing now (x.3.2, x.4.5) says nothing about a login or
a message. Whether a rejection is transient or permanent is a question of the basic code.

Session. If the connection breaks after MAIL and before the final dot, the message was certainly
not sent. On a reused connection whose first command failed, the connection had ended before, so
the attempt is repeated at once and not counted. Otherwise the attempt counts, so that a message
that crashes a server is retried ever more slowly. A 421 is such a break. A reply to MAIL that is
about the login is a fault of the destination, and the recipient waits uncounted. A transaction
that we withdrew before the final dot is not counted either.

Test of the destination. A server that sends a greeting and accepts nothing does not work. A probe
that ends before MAIL was accepted has failed: nothing was proved. While the circuit is closed, such
an end is a fault only if the server sent no reply to MAIL, and only at the first attempt of a
message with one recipient. So each message counts once, and a message whose envelope or size
crashes a server does not open the circuit for the others. Then a 421 to MAIL, which may be about
the sender, shows nothing. Neither does a transaction that we ended or did not begin, a reused
connection that had ended before, or a rejected extension. Any other transaction shows that the
server works. The next probe is of another sender, if one waits.

Message. A rejection of MAIL, DATA or the final dot applies to every recipient of the transaction:
5yz fails them, 4yz defers them. A message that this server cannot be given at all (too large,
needs SMTPUTF8) fails with a reason of the client.

Recipient. A rejection of RCPT applies to that recipient alone. "Too many recipients" (x.5.3) after
accepted ones, and a limit that the server announced, mean "too many at once": those recipients
follow in a further transaction, uncounted. So does a transaction that ended because the server
rejects an extension that it announced: the next one does without.

Final dot. The reply decides. Without a reply the recipient is uncertain. It is sent to again only
by the account's policy or by a user.

Host. Without a free file descriptor, memory, thread or port on this host no server was asked, or
its session broke for our reason. The destination is not at fault, and no attempt is counted.

Storage. A source that cannot be read at present says nothing about the destination, and no server
was asked. Its recipients wait as after a temporary rejection, counted. So do the recipients of a
message whose DKIM keys cannot be decrypted: without a signature it might be rejected for good.

Expiry. A deferral beyond the queue lifetime or the maximum number of attempts expires the
recipient, which keeps the last server reply. A retry by a user begins a new series: the limit and
the back-off count the attempts since then, while the displayed number counts all of them.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.backoff import Backoff, moment_after
from outbox.models.destination import DestinationEffect
from outbox.models.states import State
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp import (
    Disposition,
    FaultKind,
    Phase,
    RecipientOutcome,
    Reply,
    SmtpFault,
    Transaction,
)
from outbox.smtp.remedies import remedy_of
from outbox.smtp.reply import QUOTED
from outbox.smtp.status import rejects_login

EXHAUSTED_PAUSE = dt.timedelta(seconds=5)  # a resource is free again when other sessions end
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

_OURS = frozenset({FaultKind.ABANDONED, FaultKind.EXHAUSTED, FaultKind.LOCAL})
_BEFORE_MAIL = frozenset({Phase.IDLE, Phase.RSET, Phase.MAIL})  # no reply to MAIL was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Settings, clock and chance, as the verdicts need them."""

    backoff: Backoff
    max_attempts: int
    resend_after: dt.timedelta | None  # None: an uncertain recipient waits for a user
    now: dt.datetime
    chance: float  # uniform in [0, 1)
    has_login: bool = True  # False: delivery by MX


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A recipient as it was before this attempt."""

    attempts: int
    expires_at: dt.datetime | None
    is_first_on_connection: bool = True
    attempts_at_retry: int = 0  # attempts before the last retry by a user


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The new state of a recipient, and the reason."""

    state: State
    reason: Reason = NO_REASON
    next_attempt_at: dt.datetime | None = None
    counts: bool = True  # whether the attempt counts towards the limit
    reply: Reply | None = None
    command: str = ""


def judge_opening(fault: SmtpFault, *, has_login: bool = True) -> DestinationEffect:
    """Return what a fault while opening a session means for the destination."""
    if fault.kind == FaultKind.EXHAUSTED:
        return DestinationEffect.NONE
    if not has_login:
        return DestinationEffect.FAULT
    if fault.kind == FaultKind.NO_STARTTLS and fault.reply and fault.reply.transient:
        return DestinationEffect.FAULT  # 454: TLS is not available for now (RFC 3207 4)
    if fault.kind in _NEEDS_PERSON:
        return DestinationEffect.OPEN_FOR_PERSON
    if fault.kind == FaultKind.REJECTED and fault.reply and fault.reply.permanent:
        return DestinationEffect.OPEN
    return DestinationEffect.FAULT


def judge_transaction(
    transaction: Transaction,
    *,
    has_login: bool = True,
    is_first_on_connection: bool = True,
    is_probe: bool = False,
    is_first_attempt: bool = True,
) -> DestinationEffect:
    """Return what a transaction means for the destination.

    `is_first_attempt` says that nothing of the message was attempted before.
    """
    fault = transaction.fault
    if has_login and any(_is_about_login(outcome, fault) for outcome in transaction.recipients):
        return DestinationEffect.OPEN_FOR_PERSON
    if fault is None:
        is_begun = any(outcome.reply is not None for outcome in transaction.recipients)
        return DestinationEffect.NONE if is_begun else DestinationEffect.UNTESTED
    if fault.kind in _OURS:
        return DestinationEffect.UNTESTED
    if fault.phase not in _BEFORE_MAIL or fault.kind == FaultKind.AUTH_UNAVAILABLE:
        return DestinationEffect.NONE
    # Otherwise, the end of the connection may be about this message.
    is_proof = is_probe or (is_first_attempt and fault.reply is None)
    if transaction.learned or not is_first_on_connection or not is_proof:
        return DestinationEffect.UNTESTED
    return DestinationEffect.FAULT


def judge_unopened(fault: SmtpFault, retry_at: dt.datetime, case: Case) -> Verdict:
    """Return the verdict on a recipient for which no session could be opened."""
    return Verdict(
        state=State.DEFERRED,
        reason=fault.reason,
        next_attempt_at=_before_expiry(retry_at, case),
        counts=False,
        reply=fault.reply,
        command=fault.phase.value.upper() if fault.reply else "",
    )


def judge_unread(reason: Reason, case: Case, policy: Policy) -> Verdict:
    """Return the verdict on a recipient whose message cannot be read at present."""
    return _later(RecipientOutcome(address=""), case, policy, reason)


def judge_unrouted(
    reason: Reason,
    case: Case,
    policy: Policy,
    *,
    is_permanent: bool,
    reply: Reply | None = None,
) -> Verdict:
    """Return the verdict on a recipient for whose domain no server is known, or none that fits."""
    if is_permanent:
        return Verdict(state=State.FAILED, reason=reason, reply=reply)
    return _later(RecipientOutcome(address=""), case, policy, reason, reply)


def judge_exhausted(reason: Reason, case: Case, policy: Policy) -> Verdict:
    """Return the verdict on a recipient for which this host lacks a resource."""
    return Verdict(
        state=State.DEFERRED,
        reason=reason,
        next_attempt_at=_before_expiry(policy.now + EXHAUSTED_PAUSE, case),
        counts=False,
    )


def judge_recipients(
    transaction: Transaction, cases: Sequence[Case], policy: Policy
) -> list[Verdict]:
    """Return the verdict on each recipient of a transaction, in the envelope's order."""
    some_accepted = any(
        outcome.disposition in {Disposition.ACCEPTED, Disposition.UNCERTAIN}
        for outcome in transaction.recipients
    )
    # Another transaction ends differently when some were accepted, or when it is done differently.
    can_repeat = some_accepted or bool(transaction.learned)
    return [
        _judge(outcome, transaction.fault, case, policy, can_repeat=can_repeat)
        for outcome, case in zip(transaction.recipients, cases, strict=True)
    ]


def _judge(
    outcome: RecipientOutcome,
    fault: SmtpFault | None,
    case: Case,
    policy: Policy,
    *,
    can_repeat: bool,
) -> Verdict:
    if policy.has_login and _is_about_login(outcome, fault):
        return _not_logged_in(outcome, fault, case, policy)
    match outcome.disposition:
        case Disposition.ACCEPTED | Disposition.PERMANENT:
            return _final(outcome)
        case Disposition.UNCERTAIN:
            return _uncertain(outcome, fault, policy)
        case Disposition.NOT_TRIED:
            return _not_tried(outcome, fault, case, policy)
        case Disposition.OVERFLOW if can_repeat or outcome.reply is None:
            reason = outcome.reason or Reason(ReasonCode.RECIPIENTS_LIMITED)
            return _repeat_at_once(policy, reason, outcome)
        case _:
            return _later(outcome, case, policy, _reason_of(outcome))


def _final(outcome: RecipientOutcome) -> Verdict:
    state = State.SENT if outcome.disposition == Disposition.ACCEPTED else State.FAILED
    return Verdict(state=state, reason=outcome.reason, reply=outcome.reply, command=outcome.command)


def _not_logged_in(
    outcome: RecipientOutcome, fault: SmtpFault | None, case: Case, policy: Policy
) -> Verdict:
    """Return a verdict that is due again at once: the circuit delays it."""
    remedy = remedy_of(outcome.reply) if outcome.reply else None
    return Verdict(
        state=State.DEFERRED,
        reason=fault.reason if fault else remedy or _reason_of(outcome),
        next_attempt_at=_before_expiry(policy.now, case),
        counts=False,
        reply=outcome.reply or (fault.reply if fault else None),
        command=outcome.command or (fault.phase.value.upper() if fault else ""),
    )


def _uncertain(outcome: RecipientOutcome, fault: SmtpFault | None, policy: Policy) -> Verdict:
    why = fault.reason if fault else Reason(ReasonCode.CONNECTION_ENDED)
    resend_at = None
    if policy.resend_after is not None:
        resend_at = moment_after(policy.now, policy.resend_after)
    return Verdict(
        state=State.UNCERTAIN,
        reason=Reason(ReasonCode.REPLY_LOST, why=why),
        next_attempt_at=resend_at,
        command=outcome.command,
    )


def _not_tried(
    outcome: RecipientOutcome, fault: SmtpFault | None, case: Case, policy: Policy
) -> Verdict:
    if fault is None:  # e.g. another recipient's refusal ended the transaction early
        return _repeat_at_once(policy, NO_REASON, outcome)
    if fault.kind == FaultKind.ABANDONED:
        return _repeat_at_once(policy, fault.reason, outcome)
    if fault.kind == FaultKind.EXHAUSTED:
        return judge_exhausted(fault.reason, case, policy)
    wants_login = fault.kind == FaultKind.AUTH_UNAVAILABLE and not policy.has_login
    if wants_login and fault.reply is not None and fault.reply.permanent:
        return Verdict(
            state=State.FAILED,
            reason=_quoting(fault.reply),
            reply=fault.reply,
            command=fault.phase.value.upper(),
        )
    if not case.is_first_on_connection and fault.phase in _BEFORE_MAIL:
        reason = Reason(ReasonCode.REUSED_SESSION_ENDED, why=fault.reason)
        return _repeat_at_once(policy, reason, outcome)
    return _later(outcome, case, policy, fault.reason, fault.reply)


def _repeat_at_once(policy: Policy, reason: Reason, outcome: RecipientOutcome) -> Verdict:
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
    reason: Reason,
    fault_reply: Reply | None = None,
) -> Verdict:
    attempts = case.attempts + 1
    reply = outcome.reply or fault_reply
    since_retry = attempts - case.attempts_at_retry
    is_expired = since_retry >= policy.max_attempts or (
        case.expires_at is not None and policy.now >= case.expires_at
    )
    if is_expired:
        return Verdict(
            state=State.EXPIRED,
            reason=Reason(ReasonCode.ATTEMPTS_FAILED, attempts=attempts, why=reason),
            reply=reply,
            command=outcome.command,
        )
    reply_text = reply.text if reply else ""
    moment = policy.backoff.next_attempt_at(policy.now, since_retry, policy.chance, reply_text)
    return Verdict(
        state=State.DEFERRED,
        reason=reason,
        next_attempt_at=_before_expiry(moment, case),
        reply=reply,
        command=outcome.command,
    )


def _before_expiry(moment: dt.datetime, case: Case) -> dt.datetime:
    return moment if case.expires_at is None else min(moment, case.expires_at)


def _is_about_login(outcome: RecipientOutcome, fault: SmtpFault | None) -> bool:
    if fault is not None and fault.kind == FaultKind.AUTH_UNAVAILABLE:
        return outcome.disposition == Disposition.NOT_TRIED
    return outcome.command == "MAIL" and outcome.reply is not None and rejects_login(outcome.reply)


def _reason_of(outcome: RecipientOutcome) -> Reason:
    return outcome.reason if outcome.reply is None else _quoting(outcome.reply)


def _quoting(reply: Reply) -> Reason:
    first_line = reply.text.partition("\n")[0]
    quoted = f"{reply.code} {first_line}"[:QUOTED]
    return Reason(ReasonCode.SERVER_REPLY, reply=quoted)
