"""One SMTP session over asyncio: open it, send messages through it, close it.

Runs the scripts of `handshake` and `dialogue` over an `SmtpTransport`, and asks for permission
before the final dot. It never retries and keeps no session for later; `delivery` does both.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Self

from outbox.mail.envelope import Envelope
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.smtp.connect import connect, ehlo_name, forbidden, resolve
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.dot_permit import BeforeDot, LeaseHeld, PermitRequest
from outbox.smtp.exhaustion import exhaustion_reason, is_exhausted
from outbox.smtp.extensions import Restrictions
from outbox.smtp.facts import SessionFacts, TlsLevel
from outbox.smtp.fallback import Plans
from outbox.smtp.faults import FaultKind, Phase, SmtpFault, is_tls_failure
from outbox.smtp.handshake import Handshake
from outbox.smtp.linux import read_pending_events
from outbox.smtp.peer import check_peer, peer_context
from outbox.smtp.plan import Plan, Sign, choose_transfer_mode
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.script import Action, Result, Script, Stream, Write
from outbox.smtp.server import Security, Server
from outbox.smtp.tls import tls_cause
from outbox.smtp.transaction import RecipientOutcome, Transaction
from outbox.smtp.transcript import Part, Transcript
from outbox.smtp.transport import BLOCK, SmtpTransport

# Seconds after which an idle connection may be lost unnoticed. A message is then not sent in one
# write with its envelope: its outcome would be uncertain instead of certainly unsent.
_FRESH_FOR = 5.0
_LARGE = 1_000_000  # bytes of a message that delays all other sessions while it is prepared
# Not asyncio's own threads: names whose DNS server is silent may occupy all of them.
_PLANNERS = ThreadPoolExecutor(2, thread_name_prefix="outbox-plan")


class Connection:
    """An open session, returned by `Connection.open`; it runs one transaction at a time."""

    def __init__(self, server: Server, transport: SmtpTransport, facts: SessionFacts) -> None:
        self.server = server
        self.facts = facts
        self.transcript = transport.transcript
        self.messages = 0
        self.learned = Restrictions()  # what the server announced and rejected in this session
        self.opened_at = self.last_used_at = time.monotonic()
        self._transport = transport
        self._protocol = transport.protocol
        self._permit_request: PermitRequest | None = None
        self._needs_rset = False
        self._is_proven = False
        self._body_shown = ""
        self._body_began = 0.0

    @classmethod
    async def open(
        cls, server: Server, *, transcript: Transcript | None = None, within: float | None = None
    ) -> Self:
        """Connect to the first address that greets, start TLS and log in.

        All of it has to be done `within` seconds. Raises SmtpFault, with the transcript and facts
        up to the fault.
        """
        transcript = transcript or Transcript()
        facts = SessionFacts(server.host, server.port, tls_requested=server.security)
        try:
            try:
                async with asyncio.timeout(within):
                    session = await cls._connect_any(server, transcript, facts)
                    session = await session._set_up_or_fall_back()
            except TimeoutError:
                reason = Reason(ReasonCode.SERVER_TIMEOUT, seconds=within or 0.0)
                raise SmtpFault(facts.next_phase, FaultKind.TIMEOUT, reason) from None
        except SmtpFault as fault:
            transcript.note(fault.reason)
            fault.transcript, fault.facts = transcript, facts
            raise
        return session

    @property
    def usable(self) -> bool:
        """Whether another transaction may begin, as far as is known without a command."""
        limit = self._protocol.extensions.mail_max
        return self._protocol.is_quiet and not 0 < limit <= self.messages

    @property
    def has_8bitmime(self) -> bool:
        """Whether the server accepts message data with 8-bit bytes (RFC 6152)."""
        return self._protocol.extensions.eight_bit

    @property
    def has_requiretls(self) -> bool:
        """Whether the server passes messages on over verified TLS only, if asked (RFC 8689)."""
        return self._protocol.extensions.requires_tls

    async def send(
        self,
        envelope: Envelope,
        source: bytes,
        before_dot: BeforeDot,
        *,
        lease_held: LeaseHeld = lambda: True,
        source_sha256: str = "",
        sign: Sign | None = None,
    ) -> Transaction:
        """Send one message; the returned Transaction has the outcome, whatever the server does.

        `before_dot` runs while the body is sent (on a proven session, while the envelope is sent)
        and is awaited before the final dot. If it returns False or raises, the connection is
        aborted. Its permission may be outdated by then, so `lease_held` is checked last.
        `source_sha256` avoids computing the hash again. `sign` gets the data in the form in which
        the server gets them, and returns signature fields, which are sent before.
        """
        transaction = Transaction(
            [RecipientOutcome(address) for address in envelope.recipients],
            self.transcript.follow(Part.TRANSFER),
        )
        if envelope.requires_tls and (why := self._why_tls_is_too_weak()):
            transaction.reject_all(why)
            return transaction
        plans = Plans(self._protocol.extensions, envelope, source, transaction, sign)
        plan = await self._plan(source, plans.first)
        if plan is None:
            return transaction
        if not self._is_fresh:
            await self.check_idle()
        if not self.usable:
            transaction.fault = self._why_unusable()
            return transaction
        if envelope.is_sensitive:
            senders = (envelope.sender, envelope.sender_instead)
            self._protocol.masker.add_content(source, (*senders, *envelope.recipients))
        request = PermitRequest(before_dot, lease_held)
        reused, self.messages = self.messages > 0, self.messages + 1
        while plan is not None:
            signed = len(transaction.signature)
            self._body_shown = f"<{len(plan.content.source) - signed:,} bytes>"
            if not envelope.is_sensitive:  # the hash of a short code in a known text reveals it
                digest = transaction.sent_sha256 or source_sha256
                digest = digest or hashlib.sha256(source).hexdigest()
                self._body_shown = self._body_shown[:-1] + f", sha256 {digest[:12]}…>"
            if signed:
                self._body_shown = f"<{signed:,} bytes of DKIM signatures> {self._body_shown}"
            dialogue = await self._run_transaction(plan, transaction, request, reused=reused)
            plan = await self._plan(source, partial(plans.after, dialogue))
        self.learned |= transaction.learned
        self._protocol.extensions = self._protocol.extensions.without(transaction.learned)
        return transaction

    def _why_tls_is_too_weak(self) -> Reason:
        """Return why no message with REQUIRETLS may be sent here (RFC 8689 4.2.1), if it may not.

        The certificate has to be valid, and for a host that is certainly the right one.
        """
        is_verified = self.facts.tls_achieved in {TlsLevel.VERIFIED, TlsLevel.DANE}
        if not (is_verified and self.server.is_host_proven):
            return Reason(ReasonCode.REQUIRETLS_UNVERIFIED)
        if not self.has_requiretls:
            return Reason(ReasonCode.REQUIRETLS_NOT_OFFERED)
        return NO_REASON

    @staticmethod
    async def _plan(source: bytes, make: Callable[[], Plan | None]) -> Plan | None:
        """Make a plan; of a large message in a thread, since a seven-bit form takes seconds."""
        if len(source) <= _LARGE:
            return make()
        return await asyncio.get_running_loop().run_in_executor(_PLANNERS, make)

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self.last_used_at < _FRESH_FOR

    def _why_unusable(self) -> SmtpFault:
        if self._protocol.ended is not None:
            return self._protocol.ended.fault()
        return SmtpFault(Phase.IDLE, FaultKind.LOCAL, Reason(ReasonCode.SESSION_UNUSABLE))

    async def check_idle(self) -> bool:
        """Read pending input, and return whether the session is still usable."""
        await read_pending_events()
        return self.usable

    async def quit(self) -> None:
        """Send QUIT, wait briefly and close. Never raises because of the server."""
        if self._protocol.allows(Verb.QUIT):
            with suppress(SmtpFault):
                self._transport.write(self._protocol.command(Verb.QUIT))
                await self._transport.wait_for_replies()
        self._transport.close(FaultKind.LOCAL, Reason(ReasonCode.SESSION_CLOSED))
        await self._transport.wait_closed(self.server.timeouts.quit)

    def abort(self) -> None:
        """Abort the connection."""
        self._transport.abort(FaultKind.LOCAL, Reason(ReasonCode.SESSION_ABORTED))

    def abandon(self, reason: Reason) -> None:
        """Abort the connection for a reason of ours; a running `send` returns its outcome."""
        self._transport.abort(FaultKind.ABANDONED, reason)

    # --- opening --------------------------------------------------------------------------------

    @classmethod
    async def _connect_any(
        cls, server: Server, transcript: Transcript, facts: SessionFacts
    ) -> Self:
        began = time.monotonic()
        addresses = [one for one in await resolve(server) if server.allow_address(one)]
        facts.phases_ms[Phase.RESOLVE] = (time.monotonic() - began) * 1000
        if not addresses:
            raise forbidden()
        best: SmtpFault | None = None
        for address in addresses[: server.addresses_max]:
            transcript.note(Reason(ReasonCode.CONNECTING, address=address, port=str(server.port)))
            try:
                return await cls._connect(server, address, transcript, facts)
            except SmtpFault as fault:
                facts.tried.append((address, fault.reason))
                # A server's reply explains more than another address's silence.
                if best is None or fault.reply or not best.reply:
                    best = fault
        assert best is not None
        raise best

    @classmethod
    async def _connect(
        cls, server: Server, address: str, transcript: Transcript, facts: SessionFacts
    ) -> Self:
        transport = SmtpTransport(Protocol(), server.timeouts, transcript)
        transport.phases_ms = facts.phases_ms
        await connect(transport, server, address, facts)
        session = cls(server, transport, facts)
        try:
            if server.security is Security.TLS:
                await session._start_tls()
            await session._run(session._handshake_scripts("").greeting())
        except BaseException:
            session._close_unopened()
            raise
        return session

    async def _set_up_or_fall_back(self) -> Self:
        """Set the session up, on a failure of opportunistic TLS in plain text where allowed.

        The failed handshake has ended the connection, so that this takes another one.
        """
        try:
            await self._set_up()
        except SmtpFault as fault:
            if not self.server.falls_back or not is_tls_failure(fault):
                raise
            self.transcript.note(fault.reason)
            self.facts.tried.append((self.facts.address, fault.reason))
            self.facts.tls, self.facts.tls_achieved = None, TlsLevel.NONE
            plain = replace(self.server, security=Security.NONE)
            other = await self._connect(plain, self.facts.address, self.transcript, self.facts)
            await other._set_up()
            other.server, self.facts.tls_why = self.server, fault.reason
            return other
        return self

    async def _set_up(self) -> None:
        try:
            name = await ehlo_name(self.server, self.facts.local_address)
            await self._run(self._handshake_scripts(name).session_setup())
        except BaseException:
            self._close_unopened()
            raise
        restrictions = self.server.restrictions(self.facts.extensions)
        self._protocol.extensions = self._protocol.extensions.without(restrictions)
        self._end_part()

    def _handshake_scripts(self, name: str) -> Handshake:
        return Handshake(self._protocol, self.server, self.facts, name)

    async def _start_tls(self) -> None:
        began = time.monotonic()
        context = self._peer_context()
        try:
            tls = await self._transport.start_tls(context, self.server.sni)
            facts, level, why = await check_peer(self.server, tls)
        except SmtpFault as fault:
            self._transport.abort(fault.kind, fault.reason)
            raise
        except (OSError, ssl.CertificateError) as error:
            kind, reason = tls_cause(error)
            self._transport.abort(kind, reason)
            raise SmtpFault(Phase.TLS, kind, reason) from error
        self.facts.phases_ms[Phase.TLS] = (time.monotonic() - began) * 1000
        self.facts.tls, self.facts.tls_achieved, self.facts.tls_why = facts, level, why
        self.transcript.note(
            Reason(
                ReasonCode.TLS_ESTABLISHED,
                version=facts.version,
                cipher=facts.cipher,
                subject=facts.subject,
            )
        )

    def _peer_context(self) -> ssl.SSLContext:
        """Return the context. Raise a fault of this host, after which plain text is not used."""
        try:
            return peer_context(self.server)
        except OSError as error:  # ssl.SSLError is one
            kind, reason = FaultKind.LOCAL, Reason(ReasonCode.SESSION_DEFECT, cause=str(error))
            if is_exhausted(error):
                kind, reason = FaultKind.EXHAUSTED, exhaustion_reason(error)
            self._transport.abort(kind, reason)
            raise SmtpFault(Phase.TLS, kind, reason) from error

    def _close_unopened(self) -> None:
        """Close a session that failed to open, with QUIT where it is allowed."""
        if self._protocol.allows(Verb.QUIT):
            self._transport.write(self._protocol.command(Verb.QUIT))
            with suppress(SmtpFault):
                self._transport.flush()
        self._transport.close(FaultKind.LOCAL, Reason(ReasonCode.SESSION_CLOSED))

    # --- sending --------------------------------------------------------------------------------

    async def _run_transaction(
        self, plan: Plan, transaction: Transaction, request: PermitRequest, *, reused: bool
    ) -> Dialogue:
        mode = choose_transfer_mode(
            self.server,
            self._protocol.extensions,
            len(plan.content.source),
            proven=self._is_proven and self._is_fresh and not self._needs_rset,
        )
        dialogue = Dialogue(
            self._protocol,
            plan,
            mode,
            transaction,
            needs_rset=self._needs_rset,
            reused=reused,
        )
        self._permit_request = request
        self._transport.transcript = transaction.transcript
        self._transport.phases_ms = transaction.phases_ms
        try:
            await self._run(dialogue.script())
            await request.finish()
        except BaseException:
            self.abort()
            request.cancel()
            raise
        self._is_proven = self._is_proven or dialogue.delivered
        self._needs_rset = not dialogue.delivered
        if transaction.fault is not None:
            self._transport.close(transaction.fault.kind, transaction.fault.reason)
        self._end_part()
        return dialogue

    def _end_part(self) -> None:
        """Record later input in the closing part of the transcript, outside any transaction."""
        self.last_used_at = time.monotonic()
        if self.transcript.close is None:
            self.transcript.close = self.transcript.follow(Part.CLOSE)
        self._transport.transcript = self.transcript.close
        self._transport.phases_ms = {}

    async def _run(self, script: Script[Result]) -> Result:
        """Perform a script's steps; raise a fault of the session inside the script."""
        try:
            step = next(script)
            while True:
                try:
                    if isinstance(step, Write):  # the most frequent step, without a coroutine
                        self._transport.write(step.data, step.shown)
                    else:
                        await self._perform(step)
                except SmtpFault as fault:
                    step = script.throw(fault)
                else:
                    step = next(script)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _perform(self, step: Stream | Action) -> None:
        if isinstance(step, Stream):
            await self._stream(step.data)
        elif step is Action.AWAIT_REPLIES:
            self._time_body()
            await self._transport.wait_for_replies()
        elif step is Action.REQUEST_DOT:
            self._transport.flush()
            self._current_request.start()
        elif step is Action.PERMIT_DOT:
            await self._obtain_permit()
        else:
            await self._start_tls()

    async def _stream(self, data: bytes) -> None:
        self._transport.transcript.client(self._body_shown or f"<{len(data):,} bytes more>")
        self._body_shown = ""
        self._body_began = self._body_began or time.monotonic()
        if len(data) <= BLOCK:
            self._transport.buffer(data)
        else:
            await self._transport.stream(data)

    def _time_body(self) -> None:
        if self._body_began:
            spent = (time.monotonic() - self._body_began) * 1000
            phases = self._transport.phases_ms
            phases[Phase.BODY] = phases.get(Phase.BODY, 0.0) + spent
            self._body_began = 0.0

    async def _obtain_permit(self) -> None:
        if not self._current_request.is_decided:
            self._transport.flush()
        try:
            await self._current_request.obtain()
        except SmtpFault:
            self._protocol.check()
            raise
        # No await may follow between this check and the final dot: see Dialogue.
        self._protocol.check()

    @property
    def _current_request(self) -> PermitRequest:
        assert self._permit_request is not None
        return self._permit_request
