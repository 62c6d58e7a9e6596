"""The bytes of one session over asyncio: writes gathered, replies read at once, deadlines kept.

Feeds a `Protocol` and wakes whoever waits when everything owed has come or the session is over.
It knows no command and no recipient.
"""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Mapping

from outbox.smtp.faults import FaultKind, Phase
from outbox.smtp.protocol import PHASE_OF, Answer, Ended, Protocol
from outbox.smtp.reply import Reply
from outbox.smtp.server import Timeouts
from outbox.smtp.transcript import Transcript

BLOCK = 65_536  # bytes of a body written before looking whether the network keeps up

_NEVER = float("inf")


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
        self._has_let_go = False
        self._since = self._loop.time()  # when the phase under way began
        self._deadline = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes, when the deadline was last looked at

    # --- called by asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        events = self.protocol.receive(data)
        now = self._loop.time()
        heard: Reply | None = None
        for event in events:
            if isinstance(event, Answer):
                heard = event.reply
                self.transcript.server(heard)
                phase = PHASE_OF[event.verb]
                self.phases_ms[phase] = self.phases_ms.get(phase, 0.0) + (now - self._since) * 1000
                self._since = now
            else:
                # A nonsense reply is no answer; a 421 or an early refusal may have been one.
                if event.reply and (event.kind is FaultKind.PROTOCOL or event.reply is not heard):
                    self.transcript.server(event.reply)
                self._let_go(event)
        awaited = self.protocol.awaited
        if awaited is None or self.protocol.ended is not None:
            self._wake()
        elif events:
            self._arm(PHASE_OF[awaited])

    def eof_received(self) -> None:
        self.leave(FaultKind.CLOSED, "the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.protocol.ended is None:
            self._read_last_words()
        if isinstance(exc, ssl.SSLError):
            self.leave(FaultKind.TLS, f"TLS failed: {exc.reason}")
        elif exc is None:
            self.leave(FaultKind.CLOSED, "the connection was closed")
        else:
            self.leave(FaultKind.RESET, _cause_of_break(exc))
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
        self.protocol.check()
        if self._held:
            data = b"".join(self._held) if len(self._held) > 1 else self._held[0]
            self._held.clear()
            self._transport_now().write(data)

    async def stream(self, data: bytes) -> None:
        """Write a long stretch of body; some of it has to leave within each block's time."""
        self.flush()
        view = memoryview(data)
        transport = self._transport_now()
        for start in range(0, len(data), BLOCK):
            transport.write(view[start : start + BLOCK])
            await self._drained()
        if transport.get_write_buffer_size():
            # Whoever waits for all to have left can tell a lost body from a lost dot.
            transport.set_write_buffer_limits(0)
            await self._drained()
            transport.set_write_buffer_limits()

    async def answers(self) -> None:
        """Wait until the server owes nothing. Raises SmtpFault when the session ends before."""
        self.flush()
        awaited = self.protocol.awaited
        if awaited is not None:
            self._since = self._loop.time()
            self._arm(PHASE_OF[awaited])
            self._waiter = self._loop.create_future()
            await self._waiter
            self._deadline = _NEVER
        self.protocol.check_answers()

    async def secure(self, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
        """Go over to TLS. Raises what asyncio raises; `tls_cause` explains it."""
        # asyncio's own limit for the handshake raises as if the server had hung up.
        async with asyncio.timeout(self._timeouts.tls):
            transport = await self._loop.start_tls(
                self._transport_now(),
                self,
                context,
                server_hostname=host,
                ssl_handshake_timeout=2 * self._timeouts.tls,
                ssl_shutdown_timeout=self._timeouts.quit,
            )
        if transport is None:
            raise ConnectionResetError("closed during the handshake")
        self._transport = transport
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return tls

    def leave(self, kind: FaultKind, detail: str) -> None:
        """End the session, unless it has ended, and let go; what the kernel took still leaves."""
        self._let_go(self.protocol.end(kind, detail))

    def drop(self, kind: FaultKind, detail: str) -> None:
        """As `leave`, at once."""
        self.leave(kind, detail)
        self._transport_now().abort()

    async def closed(self, seconds: float) -> None:
        """Wait until the connection is gone; drop it when that takes longer."""
        done, _ = await asyncio.wait([self._closed], timeout=seconds)
        if not done:
            self._transport_now().abort()

    # --- deadlines ------------------------------------------------------------------------------

    def _arm(self, phase: Phase) -> None:
        """Set the deadline. The timer moves only when it would be late: most never fire."""
        self._deadline = self._loop.time() + self._limits[phase]
        self._unsent = 0
        if self._timer is None or self._timer.when() > self._deadline:
            self._stop_timer()
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._deadline == _NEVER:
            return
        if self._loop.time() < self._deadline or self._is_moving():
            self._timer = self._loop.call_at(self._deadline, self._tick)
            return
        seconds = self._limits[self.protocol.phase]
        self.drop(FaultKind.TIMEOUT, f"the server took longer than {seconds:g} seconds")

    def _is_moving(self) -> bool:
        """Whether a body still leaves, however slowly; then its phase has more time."""
        phase = self.protocol.phase
        if phase not in {Phase.BODY, Phase.DOT}:
            return False
        before, self._unsent = self._unsent, self._bytes_unsent()
        has_moved = self._unsent < before if before else self._unsent > 0
        if not has_moved:
            return False
        # Once all has left, the wait for the reply begins (RFC 5321 4.5.3.2.6).
        limit = self._timeouts.block if self._unsent else self._limits[phase]
        self._deadline = self._loop.time() + limit
        return True

    def _bytes_unsent(self) -> int:
        """Count what waits here and in the kernel, which takes megabytes at once."""
        transport = self._transport_now()
        queued = bytearray(4)
        sock: socket.socket = transport.get_extra_info("socket")
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        return transport.get_write_buffer_size() + int(struct.unpack("i", queued)[0])

    async def _drained(self) -> None:
        if not self._paused:
            return
        self._arm(Phase.BODY)
        self._unsent = self._bytes_unsent()
        self._writable = self._loop.create_future()
        await self._writable
        self._writable = None
        self._deadline = _NEVER
        self.protocol.check()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # --- ends -----------------------------------------------------------------------------------

    def _let_go(self, ended: Ended) -> None:
        if self._has_let_go:
            return
        self._has_let_go = True
        self.transcript.note(ended.detail)
        self._stop_timer()
        self._wake()
        self.resume_writing()
        transport = self._transport_now()
        if transport.get_write_buffer_size():
            transport.abort()  # close() would wait for a server that reads no more
        else:
            transport.close()

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


def _cause_of_break(error: Exception) -> str:
    """Return why a connection broke, without the number and the class of the error."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was reset"
    cause = error.strerror if isinstance(error, OSError) else None
    return f"the connection broke: {cause or error}"


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
