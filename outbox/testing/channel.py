"""One accepted connection of a server: lines in, replies out in groups, pauses, TLS, the end.

It knows no SMTP command; `receiver.py` does. It never blocks and sets no deadlines.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

MAX_LINE = 12_288  # RFC 4954 4: the longest line an AUTH exchange may need
HANDSHAKE_WITHIN = 30.0  # seconds
TLS_SHUTDOWN_WITHIN = 0.5  # seconds for the client's close_notify


class Channel(asyncio.Protocol):
    """A connection whose input is read by `_read`, which a subclass defines."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.under_tls = False
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._buffer = bytearray()  # received, not yet read
        self._out: list[bytes] = []  # written by the next flush
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[Callable[[], None]] = []  # called in this order
        self._at_end: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open = True
        self._begin()
        self._advance()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._held:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._open:
            return
        self._open, self._held = False, True
        self._cancel_timer()
        self._end(exc)
        for call in self._at_end:
            call()

    # Defined by a subclass

    def _begin(self) -> None:
        """Handle a new connection."""

    def _read(self) -> bool:
        """Read one item from the buffer; return False if more input must come first."""
        raise NotImplementedError

    def _end(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""

    # Used by a subclass

    def _advance(self) -> None:
        self._run_waiting()
        while not self._held and self._buffer and self._read():
            self._run_waiting()
        self._run_waiting()
        if not self._held:
            self.flush()

    def _run_waiting(self) -> None:
        while self._waiting and not self._held:
            self._waiting.pop(0)()

    def _line(self) -> str | None:
        """Return the next line of the buffer; None if it is not complete yet."""
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = self._buffer[: end + 1]
        del self._buffer[: end + 1]
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def flush(self) -> None:
        """Write the buffered replies in one packet."""
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()

    def hold(self, seconds: float) -> None:
        """Flush, then pause for some seconds."""
        self.flush()
        self._held = True
        self._timer = self._loop.call_later(seconds, self.release)

    def release(self) -> None:
        """Continue after a pause; a call that waited for its end may pause again."""
        self._held, self._timer = False, None
        self._advance()

    def skip_delay(self) -> None:
        """End a pause early."""
        if self._timer:
            self._cancel_timer()
            self.release()

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def when_free(self, call: Callable[[], None]) -> None:
        """Call now, or after the calls that wait already."""
        if self._held or self._waiting:
            self._waiting.append(call)
        else:
            call()

    def after_this(self, call: Callable[[], None]) -> None:
        """Call after the current line is handled and before the next one."""
        self._waiting.append(call)

    def when_closed(self, call: Callable[[], None]) -> None:
        """Call when the connection is closed."""
        self._at_end.append(call)

    def close(self) -> None:
        """Flush, then close."""
        self.flush()
        self._held = True
        self._cancel_timer()
        self.transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._open:
            self.transport.abort()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Continue under TLS; input that followed the command in plain text is discarded.

        RFC 3207 4.2.
        """
        self.flush()
        self._held = True
        self.transport.pause_reading()
        self._buffer.clear()
        self._task = self._loop.create_task(self._handshake(context))

    async def _handshake(self, context: ssl.SSLContext) -> None:
        if self.transport.is_closing():
            return  # the client left before; asyncio would wait, and not close the new transport
        try:
            transport = await self._loop.start_tls(
                self.transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_WITHIN,
                ssl_shutdown_timeout=TLS_SHUTDOWN_WITHIN,
            )
        except OSError as error:  # a TLS error is one, too
            self.transport.abort()
            self.connection_lost(error)  # asyncio does not report it in every case
            return
        if transport is None:
            return  # the client left during the handshake
        self.transport = transport
        self.under_tls = True
        self._tls_begun()
        self._held = False
        self._advance()

    def _tls_begun(self) -> None:
        """Forget what was known before TLS."""
