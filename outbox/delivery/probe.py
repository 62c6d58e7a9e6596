"""Test an account's connection: open a session as a delivery would, and send nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from outbox import smtp
from outbox.delivery.server import server_for
from outbox.models import Account
from outbox.models.secrets import SecretUnreadableError
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp.faults import OPENING_PHASES

SECONDS = 20.0  # for the whole test, since a user waits for its result
_ADDRESSES_MAX = 3  # of the host, which may have hundreds that do not respond


@dataclass(frozen=True, slots=True)
class ProbeStep:
    name: str  # a phase of the connection
    ok: bool
    text: str
    ms: float | None
    reason: Reason = NO_REASON  # why it failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """The result of a connection test. It contains no secrets."""

    ok: bool
    steps: Sequence[ProbeStep]
    greeting: str = ""
    extensions: dict[str, str] = field(default_factory=dict)
    tls: dict[str, Any] | None = None
    auth: str = ""
    reason: Reason = NO_REASON  # why it failed
    transcript: Sequence[Sequence[Any]] = ()

    def dump(self) -> dict[str, Any]:
        """Return the report as JSON."""
        steps = [{**_fields(step), "reason": step.reason.dump()} for step in self.steps]
        return {**_fields(self), "steps": steps, "reason": self.reason.dump()}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> "ProbeReport":
        """Return the report that was stored as JSON."""
        steps = [
            ProbeStep(**{**step, "reason": Reason.load(step["reason"])}) for step in stored["steps"]
        ]
        return cls(**{**stored, "steps": steps, "reason": Reason.load(stored["reason"])})


def _fields(row: Any) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def probe(account: Account, *, secret: str | None = None) -> ProbeReport:
    """Test an account, saved or not. `secret` replaces the stored password.

    Nothing that a server does raises an error.
    """
    try:
        server = server_for(account, secret)
    except SecretUnreadableError:
        return unreadable_secret()
    timeouts = {name: min(seconds, SECONDS) for name, seconds in asdict(server.timeouts).items()}
    server = replace(server, timeouts=smtp.Timeouts(**timeouts), addresses_max=_ADDRESSES_MAX)
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_probe(server))
    finally:
        loop.close()  # unlike asyncio.run, without waiting for a lookup that hangs


def unreadable_secret() -> ProbeReport:
    """Return the report for an account whose password cannot be read."""
    return login_failed(Reason(ReasonCode.SECRET_UNREADABLE))


def login_failed(reason: Reason) -> ProbeReport:
    """Return the report for an account that cannot log in, so that no server was contacted."""
    step = ProbeStep("auth", ok=False, text="", ms=None, reason=reason)
    return ProbeReport(ok=False, steps=[step], reason=reason)


async def _probe(server: smtp.Server) -> ProbeReport:
    try:
        session = await smtp.Connection.open(server, within=SECONDS)
    except smtp.SmtpFault as fault:
        return _report(fault.facts, fault.transcript, fault)
    await session.quit()
    return _report(session.facts, session.transcript, None)


def _report(
    facts: smtp.SessionFacts | None,
    transcript: smtp.Transcript | None,
    fault: smtp.SmtpFault | None,
) -> ProbeReport:
    lines = transcript.dump() if transcript else []
    if transcript and transcript.close:
        lines += transcript.close.dump()
    return ProbeReport(
        ok=fault is None,
        steps=_steps(facts, fault),
        greeting=facts.greeting if facts else "",
        extensions=dict(facts.extensions) if facts else {},
        tls=asdict(facts.tls) if facts and facts.tls else None,
        auth=facts.auth_mechanism if facts else "",
        reason=fault.reason if fault else NO_REASON,
        transcript=lines,
    )


def _steps(facts: smtp.SessionFacts | None, fault: smtp.SmtpFault | None) -> list[ProbeStep]:
    times = facts.phases_ms if facts else {}
    failed = fault.phase.value if fault else ""
    steps = [
        ProbeStep(name, ok=True, text=_result_of(name, facts), ms=times[name])
        for name in OPENING_PHASES
        if name in times and name != failed
    ]
    if fault:
        step = ProbeStep(failed, ok=False, text="", ms=times.get(failed), reason=fault.reason)
        steps.append(step)
    return steps


def _result_of(name: str, facts: smtp.SessionFacts | None) -> str:
    if facts is None:
        return ""
    results = {
        "connect": f"{facts.address}:{facts.port}",
        "greeting": facts.greeting,
        "ehlo": ", ".join(facts.extensions),
        "tls": f"{facts.tls.version}, {facts.tls.cipher}" if facts.tls else "",
        "auth": facts.auth_mechanism,
    }
    return results.get(name, "")
