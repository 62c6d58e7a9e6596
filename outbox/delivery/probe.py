"""Probe: open a connection as a delivery would, say what each step gave, send nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from outbox import smtp
from outbox.delivery.converse import server_for
from outbox.models import Account
from outbox.models.secrets import SecretUnreadableError

_PATIENCE = 20.0  # seconds for any one phase: a person waits for the page
_ORDER = ("resolve", "connect", "greeting", "ehlo", "starttls", "tls", "auth")


@dataclass(frozen=True, slots=True)
class ProbeStep:
    name: str  # a phase of the connection
    ok: bool
    text: str
    ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What Test connection shows. Free of secrets."""

    ok: bool
    steps: Sequence[ProbeStep]
    greeting: str = ""
    extensions: dict[str, str] = field(default_factory=dict)
    tls: dict[str, Any] | None = None
    auth: str = ""
    detail: str = ""  # what failed, in one sentence
    transcript: Sequence[Sequence[Any]] = ()


def probe(account: Account, *, secret: str | None = None) -> ProbeReport:
    """Test an account, saved or not; `secret` stands in for the stored one.

    Never raises for what a server does.
    """
    try:
        server = server_for(account, secret)
    except SecretUnreadableError as error:
        return ProbeReport(ok=False, steps=[ProbeStep("auth", ok=False, text=str(error), ms=None)])
    hurried = {name: min(seconds, _PATIENCE) for name, seconds in asdict(server.timeouts).items()}
    server = replace(server, timeouts=smtp.Timeouts(**hurried))
    return asyncio.run(_probe(server))


async def _probe(server: smtp.Server) -> ProbeReport:
    try:
        session = await smtp.Session.open(server)
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
        detail=fault.detail if fault else "",
        transcript=lines,
    )


def _steps(facts: smtp.SessionFacts | None, fault: smtp.SmtpFault | None) -> list[ProbeStep]:
    times = facts.phases_ms if facts else {}
    failed = fault.phase.value if fault else ""
    steps = [
        ProbeStep(name, ok=True, text=_told(name, facts), ms=times[name])
        for name in _ORDER
        if name in times and name != failed
    ]
    if fault:
        steps.append(ProbeStep(failed, ok=False, text=fault.detail, ms=times.get(failed)))
    return steps


def _told(name: str, facts: smtp.SessionFacts | None) -> str:
    if facts is None:
        return ""
    told = {
        "connect": f"{facts.address}:{facts.port}",
        "greeting": facts.greeting,
        "ehlo": ", ".join(facts.extensions),
        "tls": f"{facts.tls.version}, {facts.tls.cipher}" if facts.tls else "",
        "auth": facts.auth_mechanism,
    }
    return told.get(name, "")
