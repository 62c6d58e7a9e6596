"""One accepted connection as a server holds it: lines in, replies out in groups, holds, TLS, end.

It knows nothing of SMTP's commands; `receiver.py` does. It never blocks and sets no deadlines.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

MAX_LINE = 12_288  # RFC 4954 4: the longest line an AUTH exchange may need
HANDSHAKE_WITHIN = 30.0  # seconds
FAREWELL_WITHIN = 0.5  # seconds a client has to answer close_notify


class Channel(asyncio.Protocol):
    """A connection that is read by whatever `_read` is at the moment."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.under_tls = False
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._buffer = bytearray()  # came in, not yet acted upon
        self._out: list[bytes] = []  # to leave with the next flush
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[Callable[[], None]] = []  # to be done in this order
        self._at_end: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    # What asyncio calls

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
        self._forget_timer()
        self._end(exc)
        for act in self._at_end:
            act()

    # What a subclass fills in

    def _begin(self) -> None:
        """Act on a new connection."""

    def _read(self) -> bool:
        """Act on one thing of the buffer; False where more must come first."""
        raise NotImplementedError

    def _end(self, exc: Exception | None) -> None:
        """Act on the end of the connection."""

    # What a subclass uses

    def _advance(self) -> None:
        self._do_what_waits()
        while not self._held and self._buffer and self._read():
            self._do_what_waits()
        self._do_what_waits()
        if not self._held:
            self.flush()

    def _do_what_waits(self) -> None:
        while self._waiting and not self._held:
            self._waiting.pop(0)()

    def _line(self) -> str | None:
        """Take a line out of the buffer; None where it is not whole yet."""
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = self._buffer[: end + 1]
        del self._buffer[: end + 1]
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def flush(self) -> None:
        """Write the replies gathered since the last time, in one packet."""
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()

    def hold(self, seconds: float) -> None:
        """Write what was gathered, then do nothing for so long."""
        self.flush()
        self._held = True
        self._timer = self._loop.call_later(seconds, self.release)

    def release(self) -> None:
        """Go on after a hold; what waited for its end may hold again."""
        self._held, self._timer = False, None
        self._advance()

    def hurry(self) -> None:
        """End a hold before its time."""
        if self._timer:
            self._forget_timer()
            self.release()

    def _forget_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def when_free(self, act: Callable[[], None]) -> None:
        """Act now, or after what waits already."""
        if self._held or self._waiting:
            self._waiting.append(act)
        else:
            act()

    def after_this(self, act: Callable[[], None]) -> None:
        """Act when the line at hand is dealt with, and before the next one is."""
        self._waiting.append(act)

    def when_closed(self, act: Callable[[], None]) -> None:
        """Act when the connection is over."""
        self._at_end.append(act)

    def hang_up(self) -> None:
        """Write what was gathered, then close."""
        self.flush()
        self._held = True
        self._forget_timer()
        self.transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._open:
            self.transport.abort()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on under TLS; what the client said in clear text behind its command is forgotten.

        RFC 3207 4.2.
        """
        self.flush()
        self._held = True
        self.transport.pause_reading()
        self._buffer.clear()
        self._task = self._loop.create_task(self._handshake(context))

    async def _handshake(self, context: ssl.SSLContext) -> None:
        try:
            transport = await self._loop.start_tls(
                self.transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_WITHIN,
                ssl_shutdown_timeout=FAREWELL_WITHIN,
            )
        except OSError as error:  # a TLS error is one, too
            self.transport.abort()
            self.connection_lost(error)  # asyncio does not tell of it in every case
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
