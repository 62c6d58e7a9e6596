"""The bytes of one session over asyncio: writes gathered, replies read at once, deadlines kept.

Feeds a `Protocol` and wakes whoever waits when everything owed has come or the session is over.
It knows no command and no recipient.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping

from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.protocol import PHASE_OF, Ended, Protocol
from outbox.smtp.server import Timeouts
from outbox.smtp.transcript import Transcript

BLOCK = 65_536  # bytes of a body written before looking whether the network keeps up


class Wire(asyncio.Protocol):
    """One connection. `transcript` and `phases_ms` are those of the part under way."""

    def __init__(self, protocol: Protocol, timeouts: Timeouts, transcript: Transcript) -> None:
        self.protocol = protocol
        self.transcript = transcript
        self.phases_ms: dict[str, float] = {}
        self._timeouts = timeouts
        self._limits = _limits(timeouts)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed = self._loop.create_future()
        self._held: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._since = self._loop.time()  # when the phase under way began
        self._deadline = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    # --- called by asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        events = self.protocol.receive(data)
        now = self._loop.time()
        for event in events:
            if isinstance(event, Ended):
                self._hear_end(event)
            else:
                self.transcript.server(event.reply)
                phase = PHASE_OF[event.verb]
                self.phases_ms[phase] = self.phases_ms.get(phase, 0.0) + (now - self._since) * 1000
                self._since = now
        awaited = self.protocol.awaited
        if awaited is None or self.protocol.ended is not None:
            self._wake()
        elif events:
            self._arm(self._limits[PHASE_OF[awaited]])

    def eof_received(self) -> None:
        self._break_off(FaultKind.CLOSED, "the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.protocol.ended is None:
            self._read_last_words()
        if isinstance(exc, ssl.SSLError):
            self._break_off(FaultKind.TLS, f"TLS failed: {exc.reason}")
        elif exc is None:
            self._break_off(FaultKind.CLOSED, "the connection was closed")
        else:
            self._break_off(FaultKind.RESET, f"the connection broke: {exc}")
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- called by the session ------------------------------------------------------------------

    def write(self, data: bytes, shown: str = "") -> None:
        """Gather commands; they leave at the next `flush`."""
        self.transcript.client(shown or data)
        self._held.append(data)

    def hold(self, data: bytes) -> None:
        """Gather a short stretch of body."""
        self._held.append(data)

    def flush(self) -> None:
        """Write what was gathered, as one piece. Raises SmtpFault once the session is over."""
        self.check()
        if self._held:
            data = b"".join(self._held) if len(self._held) > 1 else self._held[0]
            self._held.clear()
            self._transport_now().write(data)

    async def stream(self, data: bytes) -> None:
        """Write a long stretch of body; some of it has to leave within each block's time."""
        self.flush()
        view = memoryview(data)
        for start in range(0, len(data), BLOCK):
            self._transport_now().write(view[start : start + BLOCK])
            await self._drained()
            self.check()

    async def answers(self) -> None:
        """Wait until the server owes nothing. Raises SmtpFault when the session ends before."""
        self.flush()
        awaited = self.protocol.awaited
        if awaited is not None:
            self._since = self._loop.time()
            self._arm(self._limits[PHASE_OF[awaited]])
            self._waiter = self._loop.create_future()
            await self._waiter
            self._deadline = float("inf")
        ended = self.protocol.ended
        # What comes after the last reply owed takes nothing from it, unless it shows that replies
        # and commands do not match.
        if ended and (ended.phase is not Phase.IDLE or ended.kind is FaultKind.PROTOCOL):
            self.check()

    def check(self) -> None:
        """Raise the SmtpFault that says why the session is over, if it is."""
        if self.protocol.ended is not None:
            raise self.fault()

    def fault(self) -> SmtpFault:
        """Say why the session is over, or else that it is not to be used any more."""
        ended = self.protocol.ended
        if ended is None:
            detail = "this session has carried all it may"
            return SmtpFault(Phase.IDLE, FaultKind.LOCAL, detail)
        return SmtpFault(ended.phase, ended.kind, ended.detail, reply=ended.reply)

    async def secure(self, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
        """Go over to TLS. Raises what asyncio raises; `tls_cause` explains it."""
        transport = await self._loop.start_tls(
            self._transport_now(),
            self,
            context,
            server_hostname=host,
            ssl_handshake_timeout=self._timeouts.tls,
            ssl_shutdown_timeout=self._timeouts.quit,
        )
        if transport is None:
            raise ConnectionResetError("closed during the handshake")
        self._transport = transport
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return tls

    def close(self) -> None:
        """Let go politely: what was written still leaves."""
        self.protocol.end(FaultKind.CLOSED, "this side closed the connection")
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Let go at once."""
        self.protocol.end(FaultKind.ABANDONED, "this side dropped the connection")
        self._wake()
        if self._transport is not None:
            self._transport.abort()

    async def closed(self, seconds: float) -> None:
        """Wait until the connection is gone; drop it when that takes longer."""
        done, _ = await asyncio.wait([self._closed], timeout=seconds)
        if not done:
            self.abort()

    # --- deadlines ------------------------------------------------------------------------------

    def _arm(self, seconds: float) -> None:
        """Set the deadline. The timer moves only when it would be late: most never fire."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._deadline == float("inf"):
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
            return
        phase = self.protocol.phase
        self._break_off(FaultKind.TIMEOUT, f"no answer within {self._limits[phase]:g} seconds")
        self._transport_now().abort()

    async def _drained(self) -> None:
        if not self._paused:
            return
        self._arm(self._timeouts.block)
        self._writable = self._loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None
            self._deadline = float("inf")

    # --- ends -----------------------------------------------------------------------------------

    def _hear_end(self, ended: Ended) -> None:
        if ended.reply is not None:
            self.transcript.server(ended.reply)
        self._let_go(ended)

    def _break_off(self, kind: FaultKind, detail: str) -> None:
        if self.protocol.ended is None:
            self._let_go(self.protocol.end(kind, detail))

    def _let_go(self, ended: Ended) -> None:
        self.transcript.note(ended.detail)
        self._wake()
        self.resume_writing()
        self._transport_now().close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_last_words(self) -> None:
        """Read what the server said before the connection broke: it may explain why."""
        sock: socket.socket | None = self._transport_now().get_extra_info("socket")
        if sock is None or self._transport_now().get_extra_info("ssl_object") is not None:
            return
        try:
            with socket.socket(fileno=socket.dup(sock.fileno())) as twin:
                data = twin.recv(BLOCK, socket.MSG_DONTWAIT)
        except OSError:
            return
        if data:
            self.data_received(data)

    def _transport_now(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _limits(timeouts: Timeouts) -> Mapping[Phase, float]:
    special = {
        Phase.GREETING: timeouts.greeting,
        Phase.AUTH: timeouts.auth,
        Phase.DATA: timeouts.data,
        Phase.BODY: timeouts.block,
        Phase.DOT: timeouts.dot,
        Phase.QUIT: timeouts.quit,
    }
    return {phase: special.get(phase, timeouts.command) for phase in Phase}
