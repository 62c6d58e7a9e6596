"""What the judge is asked in these tests: short ways to write a case down."""

import datetime as dt
from dataclasses import replace

from outbox.backoff import Backoff
from outbox.delivery.verdict import Case, Policy, Verdict, judge_recipients
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp import Disposition, FaultKind, Phase, RecipientOutcome, Reply, SmtpFault
from outbox.smtp import Transaction as SmtpTransaction

NOW = dt.datetime(2026, 3, 29, 0, 59, 30, tzinfo=dt.UTC)  # half a minute before Europe's DST
BACKOFF = Backoff(first=60, factor=2, longest=14_400, jitter=0.2, hint_max=21_600)
POLICY = Policy(backoff=BACKOFF, max_attempts=60, resend_after=None, now=NOW, chance=0.5)
BROKE_OFF = Reason(ReasonCode.CONNECTION_RESET)
CASE = Case(attempts=0, expires_at=NOW + dt.timedelta(days=5))


def reply(text: str) -> Reply:
    """Read "451 4.7.1 later" as the parser would."""
    code, _, rest = text.partition(" ")
    first = rest.partition(" ")[0]
    enhanced = first if first.count(".") == 2 and first[0] == code[0] else ""
    return Reply(int(code), enhanced, rest)


def outcome(
    disposition: Disposition, text: str = "", *, at: str = "RCPT", reason: Reason = NO_REASON
) -> RecipientOutcome:
    """Build what SMTP found out about one recipient; `text` is the reply, `at` its command."""
    return RecipientOutcome(
        "bob@example.net",
        command=at if text else "",
        reply=reply(text) if text else None,
        disposition=disposition,
        reason=reason,
    )


def fault(phase: Phase, kind: FaultKind, text: str = "") -> SmtpFault:
    """Build the end of a session."""
    return SmtpFault(phase, kind, BROKE_OFF, reply=reply(text) if text else None)


def transaction(*outcomes: RecipientOutcome, broke: SmtpFault | None = None) -> SmtpTransaction:
    """Build a whole transaction."""
    return SmtpTransaction(list(outcomes), fault=broke)


def judge(
    *outcomes: RecipientOutcome,
    broke: SmtpFault | None = None,
    case: Case = CASE,
    policy: Policy = POLICY,
) -> list[Verdict]:
    """Judge one transaction whose recipients all stood alike before."""
    return judge_recipients(transaction(*outcomes, broke=broke), [case] * len(outcomes), policy)


def after(seconds: float) -> dt.datetime:
    """Return the moment so many seconds from now."""
    return NOW + dt.timedelta(seconds=seconds)


def reused(case: Case = CASE) -> Case:
    """Turn it into a case that is not the first on its connection."""
    return replace(case, is_first_on_connection=False)
