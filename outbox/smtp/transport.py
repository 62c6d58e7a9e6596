"""The bytes of one session over asyncio: buffered writes, replies, deadlines, the end.

It feeds a `Protocol`, and wakes the waiting caller when every due reply has arrived or the session
is over. It knows no command and no recipient.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import cast

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.exhaustion import exhaustion_reason, is_exhausted
from outbox.smtp.faults import FaultKind, Phase
from outbox.smtp.linux import read_pending, unsent_bytes
from outbox.smtp.protocol import PHASE_OF, CommandReply, Ended, Protocol
from outbox.smtp.reply import Reply
from outbox.smtp.server import Timeouts
from outbox.smtp.transcript import Transcript

BLOCK = 65_536  # bytes of a body between two checks of the write buffer

_NEVER = float("inf")


class SmtpTransport(asyncio.Protocol):
    """One connection. `transcript` and `phases_ms` are those of the current part."""

    def __init__(self, protocol: Protocol, timeouts: Timeouts, transcript: Transcript) -> None:
        self.protocol = protocol
        self.transcript = transcript
        self.phases_ms: dict[str, float] = {}
        self._timeouts = timeouts
        self._limits = _limits(timeouts)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._tcp_transport: asyncio.Transport | None = None  # the same, or the one below TLS
        self._closed = self._loop.create_future()
        self._buffered: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._is_released = False
        self._phase_began = self._loop.time()  # when the current phase began
        self._deadline = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes, at the last check of the deadline

    # --- called by asyncio ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, since the transports of other event loops are not of this class.
        self._transport = self._tcp_transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        events = self.protocol.receive(data)
        now = self._loop.time()
        last_reply: Reply | None = None
        for event in events:
            if isinstance(event, CommandReply):
                last_reply = event.reply
                self.transcript.server(last_reply)
                phase = PHASE_OF[event.verb]
                self.phases_ms[phase] = (
                    self.phases_ms.get(phase, 0.0) + (now - self._phase_began) * 1000
                )
                self._phase_began = now
            else:
                # The reply that ended the session may be recorded already as a command's reply.
                if event.reply and (
                    event.kind is FaultKind.PROTOCOL or event.reply is not last_reply
                ):
                    self.transcript.server(event.reply)
                self._release(event)
        awaited = self.protocol.awaited
        if awaited is None or self.protocol.ended is not None:
            self._wake()
        elif events:
            self._set_deadline(PHASE_OF[awaited])

    def eof_received(self) -> None:
        self.close(FaultKind.CLOSED, Reason(ReasonCode.CLOSED_BY_SERVER))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.protocol.ended is None:
            self._read_pending_input()
        if isinstance(exc, ssl.SSLError):
            self.close(FaultKind.TLS, Reason(ReasonCode.TLS_FAILED, cause=str(exc.reason)))
        elif exc is None:
            self.close(FaultKind.CLOSED, Reason(ReasonCode.CONNECTION_CLOSED))
        elif is_exhausted(exc):
            self.close(FaultKind.EXHAUSTED, exhaustion_reason(exc))
        else:
            self.close(FaultKind.RESET, _cause_of_break(exc))
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- called by the connection ---------------------------------------------------------------

    def write(self, data: bytes, shown: str = "") -> None:
        """Buffer commands until the next `flush`."""
        self.transcript.client(shown or data)
        self._buffered.append(data)

    def buffer(self, data: bytes) -> None:
        """Buffer a short part of the body."""
        self._buffered.append(data)

    def flush(self) -> None:
        """Write the buffer in one piece. Raises SmtpFault once the session is over."""
        self.protocol.check()
        if self._buffered:
            data = b"".join(self._buffered) if len(self._buffered) > 1 else self._buffered[0]
            self._buffered.clear()
            self._asyncio_transport.write(data)

    async def stream(self, data: bytes) -> None:
        """Write a long part of the body; some of it must be sent within each block's timeout."""
        self.flush()
        view = memoryview(data)
        transport = self._asyncio_transport
        for start in range(0, len(data), BLOCK):
            if self._is_lost:
                # It is reported when the event loop runs again. Until then the final dot would
                # seem to be sent, and the message uncertain.
                await self.wait_closed(self._timeouts.quit)
                return
            transport.write(view[start : start + BLOCK])
            await self._wait_until_drained()
        if transport.get_write_buffer_size():
            # Wait until all of it is sent, to distinguish a lost body from a lost dot.
            transport.set_write_buffer_limits(0)
            await self._wait_until_drained()
            transport.set_write_buffer_limits()

    async def wait_for_replies(self) -> None:
        """Wait until no reply is due. Raises SmtpFault if the session ends before."""
        self.flush()
        awaited = self.protocol.awaited
        if awaited is not None:
            self._phase_began = self._loop.time()
            self._set_deadline(PHASE_OF[awaited])
            self._waiter = self._loop.create_future()
            await self._waiter
            self._deadline = _NEVER
        self.protocol.check_replies()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
        """Start TLS. Raises what asyncio raises; `tls_cause` explains it."""
        # asyncio's own timeout of the handshake raises the error of a closed connection.
        async with asyncio.timeout(self._timeouts.tls):
            transport = await self._loop.start_tls(
                self._asyncio_transport,
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

    def close(self, kind: FaultKind, reason: Reason) -> None:
        """End the session if it has not ended, and close; the kernel still sends its buffer."""
        self._release(self.protocol.end(kind, reason))

    def abort(self, kind: FaultKind, reason: Reason) -> None:
        """End the session, and close without sending the rest."""
        self.close(kind, reason)
        self._asyncio_transport.abort()

    async def wait_closed(self, seconds: float) -> None:
        """Wait until the connection is closed; abort it after some seconds."""
        done, _ = await asyncio.wait([self._closed], timeout=seconds)
        if not done:
            self._asyncio_transport.abort()

    # --- deadlines ------------------------------------------------------------------------------

    def _set_deadline(self, phase: Phase) -> None:
        """Set the deadline. The timer is moved only if it would be late: most never fire."""
        self._deadline = self._loop.time() + self._limits[phase]
        self._unsent = 0
        if self._timer is None or self._timer.when() > self._deadline:
            self._stop_timer()
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline == _NEVER:
            return
        if self._loop.time() < self._deadline or self._has_progress():
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
            return
        seconds = self._limits[self.protocol.phase]
        self.abort(FaultKind.TIMEOUT, Reason(ReasonCode.SERVER_TIMEOUT, seconds=seconds))

    def _has_progress(self) -> bool:
        """Return whether some of the body was sent; if so, extend the deadline."""
        phase = self.protocol.phase
        if phase not in {Phase.BODY, Phase.DOT}:
            return False
        before, self._unsent = self._unsent, self._bytes_unsent()
        has_moved = self._unsent < before if before else self._unsent > 0
        if not has_moved:
            return False
        # Once all of it is sent, the wait for the reply begins (RFC 5321 4.5.3.2.6).
        limit = self._timeouts.block if self._unsent else self._limits[phase]
        self._deadline = self._loop.time() + limit
        return True

    def _bytes_unsent(self) -> int:
        """Return the bytes that wait in asyncio and in the kernel."""
        transport = self._asyncio_transport
        sock: socket.socket = transport.get_extra_info("socket")
        return transport.get_write_buffer_size() + unsent_bytes(sock)

    async def _wait_until_drained(self) -> None:
        if not self._paused:
            return
        self._set_deadline(Phase.BODY)
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

    def _release(self, ended: Ended) -> None:
        if self._is_released:
            return
        self._is_released = True
        self.transcript.note(ended.reason)
        self._stop_timer()
        self._wake()
        self.resume_writing()
        transport = self._asyncio_transport
        if transport.get_write_buffer_size():
            transport.abort()  # close() would wait for a server that does not read
        else:
            transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_pending_input(self) -> None:
        """Process input that arrived before the connection broke: it may explain the reason."""
        sock: socket.socket | None = self._asyncio_transport.get_extra_info("socket")
        if sock is None or self._asyncio_transport.get_extra_info("ssl_object") is not None:
            return
        if data := read_pending(sock):
            self.data_received(data)

    @property
    def _is_lost(self) -> bool:
        """Whether a write failed. The transport of TLS does not know it."""
        return self._tcp_transport is not None and self._tcp_transport.is_closing()

    @property
    def _asyncio_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _cause_of_break(error: Exception) -> Reason:
    """Return why a connection broke, without the number and the class of the error."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return Reason(ReasonCode.CONNECTION_RESET)
    cause = error.strerror if isinstance(error, OSError) else None
    return Reason(ReasonCode.CONNECTION_BROKEN, cause=cause or str(error))


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
