"""One SMTP session over asyncio: open it, send through it, part.

Runs the scripts of `opening` and `dialogue` over a `Wire`, and guards the moment before the dot.
It never retries and keeps no session for later; `delivery` does both.
"""

import asyncio
import hashlib
import ssl
import time
from contextlib import suppress
from typing import Self

from outbox.smtp.course import choose_course
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.envelope import Envelope
from outbox.smtp.facts import SessionFacts
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.gate import BeforeDot, Gate, Still
from outbox.smtp.opening import Opening
from outbox.smtp.plan import Plan, make_plan
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.reaching import connect, ehlo_name, resolve
from outbox.smtp.server import Security, Server
from outbox.smtp.steps import Act, Result, Script, Stream, Write
from outbox.smtp.tls import tls_cause, tls_context, tls_facts
from outbox.smtp.transaction import RecipientOutcome, Transaction
from outbox.smtp.transcript import Part, Transcript
from outbox.smtp.wire import BLOCK, Wire

# Seconds after which a session may be gone without a sign of it: then a mail does not leave at
# once with its envelope, or its fate would be uncertain where it was only not tried.
_FRESH_FOR = 5.0


class Session:
    """An open session, made by `Session.open`; carries one transaction at a time."""

    def __init__(self, server: Server, wire: Wire, facts: SessionFacts) -> None:
        self.server = server
        self.facts = facts
        self.transcript = wire.transcript
        self.messages = 0
        self.opened_at = self.last_used_at = time.monotonic()
        self._wire = wire
        self._protocol = wire.protocol
        self._gate: Gate | None = None
        self._needs_rset = False
        self._is_proven = False
        self._body_shown = ""
        self._body_began = 0.0

    @classmethod
    async def open(cls, server: Server, *, transcript: Transcript | None = None) -> Self:
        """Reach the first address that greets, secure, log in.

        Raises SmtpFault, with the transcript and the facts as far as known.
        """
        transcript = transcript or Transcript()
        facts = SessionFacts(server.host, server.port)
        try:
            session = await cls._reach_any(server, transcript, facts)
            await session._introduce()
        except SmtpFault as fault:
            transcript.note(str(fault))
            fault.transcript, fault.facts = transcript, facts
            raise
        return session

    @property
    def usable(self) -> bool:
        """Whether it may carry another transaction, as far as is known without asking."""
        limit = self._protocol.extensions.mails_limit
        return self._protocol.is_quiet and not 0 < limit <= self.messages

    async def send(
        self,
        envelope: Envelope,
        source: bytes,
        before_dot: BeforeDot,
        *,
        still: Still = lambda: True,
        source_sha256: str = "",
    ) -> Transaction:
        """Carry one mail; whatever the server does is told by the Transaction.

        `before_dot` is started beside the body, on a proven session beside the envelope, and
        awaited before the end leaves; a no or an exception drops the connection. A yes may be old
        by then: `still` is asked at the very end. `source_sha256` spares a hash.
        """
        transaction = Transaction(
            [RecipientOutcome(address) for address in envelope.recipients],
            self.transcript.follow(Part.TRANSFER),
        )
        plan = make_plan(self._protocol.extensions, envelope, source, transaction)
        if plan is None:
            return transaction
        if not self._is_fresh:
            await self.check_idle()
        if not self.usable:
            transaction.fault = self._why_unusable()
            return transaction
        digest = transaction.sent_sha256 or source_sha256 or hashlib.sha256(source).hexdigest()
        self._body_shown = f"<{len(plan.content.source):,} bytes, sha256 {digest[:12]}…>"
        await self._converse(plan, transaction, Gate(before_dot, still))
        return transaction

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self.last_used_at < _FRESH_FOR

    def _why_unusable(self) -> SmtpFault:
        if self._protocol.ended is not None:
            return self._protocol.ended.fault()
        return SmtpFault(Phase.IDLE, FaultKind.LOCAL, "this session may carry no more mail")

    async def check_idle(self) -> bool:
        """Look whether the server said or closed something meanwhile; False: not usable."""
        # One pass of the loop finds the socket readable, the next hands over what it holds.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.usable

    async def quit(self) -> None:
        """Say QUIT, wait a little, close; never raises for anything the server does."""
        if self._protocol.allows(Verb.QUIT):
            with suppress(SmtpFault):
                self._wire.write(self._protocol.command(Verb.QUIT))
                await self._wire.answers()
        self._wire.leave(FaultKind.LOCAL, "closed from this side")
        await self._wire.closed(self.server.timeouts.quit)

    def abort(self) -> None:
        """Drop the connection at once."""
        self._wire.drop(FaultKind.LOCAL, "dropped from this side")

    # --- opening --------------------------------------------------------------------------------

    @classmethod
    async def _reach_any(cls, server: Server, transcript: Transcript, facts: SessionFacts) -> Self:
        began = time.monotonic()
        addresses = await resolve(server)
        facts.phases_ms[Phase.RESOLVE] = (time.monotonic() - began) * 1000
        best: SmtpFault | None = None
        for address in addresses:
            transcript.note(f"connecting to {address} port {server.port}")
            try:
                return await cls._reach(server, address, transcript, facts)
            except SmtpFault as fault:
                facts.tried.append(f"{address}: {fault.detail}")
                # What one server said explains more than another one's silence.
                if best is None or fault.reply or not best.reply:
                    best = fault
        assert best is not None
        raise best

    @classmethod
    async def _reach(
        cls, server: Server, address: str, transcript: Transcript, facts: SessionFacts
    ) -> Self:
        wire = Wire(Protocol(), server.timeouts, transcript)
        wire.phases_ms = facts.phases_ms
        await connect(wire, server, address, facts)
        session = cls(server, wire, facts)
        try:
            if server.security is Security.TLS:
                await session._secure()
            await session._run(session._opening("").greeting())
        except BaseException:
            session._part()
            raise
        return session

    async def _introduce(self) -> None:
        try:
            name = await ehlo_name(self.server, self.facts.local_address)
            await self._run(self._opening(name).introduction())
        except BaseException:
            self._part()
            raise
        self._rest()

    def _opening(self, name: str) -> Opening:
        return Opening(self._protocol, self.server, self.facts, name)

    async def _secure(self) -> None:
        began = time.monotonic()
        try:
            tls = await self._wire.secure(tls_context(self.server.ca_file), self.server.wire_host)
        except (OSError, ssl.CertificateError) as error:
            kind, detail = tls_cause(error)
            self._wire.drop(kind, detail)
            raise SmtpFault(Phase.TLS, kind, detail) from error
        self.facts.phases_ms[Phase.TLS] = (time.monotonic() - began) * 1000
        self.facts.tls = facts = tls_facts(tls)
        self.transcript.note(f"{facts.version}, {facts.cipher}, certificate of {facts.subject}")

    def _part(self) -> None:
        """Leave a session that does not open, politely where the server still listens."""
        if self._protocol.allows(Verb.QUIT):
            self._wire.write(self._protocol.command(Verb.QUIT))
            with suppress(SmtpFault):
                self._wire.flush()
        self._wire.leave(FaultKind.LOCAL, "closed from this side")

    # --- sending --------------------------------------------------------------------------------

    async def _converse(self, plan: Plan, transaction: Transaction, gate: Gate) -> None:
        course = choose_course(
            self.server,
            self._protocol.extensions,
            len(plan.content.source),
            proven=self._is_proven and self._is_fresh and not self._needs_rset,
        )
        dialogue = Dialogue(self._protocol, plan, course, transaction, needs_rset=self._needs_rset)
        self._gate = gate
        self._wire.transcript = transaction.transcript
        self._wire.phases_ms = transaction.phases_ms
        self.messages += 1
        try:
            await self._run(dialogue.script())
            await gate.settle()
        except BaseException:
            self.abort()
            gate.cancel()
            raise
        self._is_proven = self._is_proven or dialogue.delivered
        self._needs_rset = not dialogue.delivered
        if transaction.fault is not None:
            self._wire.leave(transaction.fault.kind, transaction.fault.detail)
        self._rest()

    def _rest(self) -> None:
        """What is heard from now on belongs to no transaction."""
        self.last_used_at = time.monotonic()
        if self.transcript.close is None:
            self.transcript.close = self.transcript.follow(Part.CLOSE)
        self._wire.transcript = self.transcript.close
        self._wire.phases_ms = {}

    async def _run(self, script: Script[Result]) -> Result:
        """Do what the script asks, step by step; a session that ends is thrown into it."""
        try:
            step = next(script)
            while True:
                try:
                    if isinstance(step, Write):  # the commonest, spared a coroutine
                        self._wire.write(step.data, step.shown)
                    else:
                        await self._perform(step)
                except SmtpFault as fault:
                    step = script.throw(fault)
                else:
                    step = next(script)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _perform(self, step: Stream | Act) -> None:
        if isinstance(step, Stream):
            await self._stream(step.data)
        elif step is Act.AWAIT:
            self._time_body()
            await self._wire.answers()
        elif step is Act.ASK:
            self._wire.flush()
            self._open_gate.start()
        elif step is Act.CONSENT:
            await self._consent()
        else:
            await self._secure()

    async def _stream(self, data: bytes) -> None:
        self._wire.transcript.client(self._body_shown or f"<{len(data):,} bytes more>")
        self._body_shown = ""
        self._body_began = self._body_began or time.monotonic()
        if len(data) <= BLOCK:
            self._wire.hold(data)
        else:
            await self._wire.stream(data)

    def _time_body(self) -> None:
        if self._body_began:
            spent = (time.monotonic() - self._body_began) * 1000
            phases = self._wire.phases_ms
            phases[Phase.BODY] = phases.get(Phase.BODY, 0.0) + spent
            self._body_began = 0.0

    async def _consent(self) -> None:
        if not self._open_gate.is_decided:
            self._wire.flush()
        try:
            await self._open_gate.consent()
        except SmtpFault:
            self._protocol.check()
            raise
        # Nothing may come between this look and the dot: see Dialogue.
        self._protocol.check()

    @property
    def _open_gate(self) -> Gate:
        assert self._gate is not None
        return self._gate
