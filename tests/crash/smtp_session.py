"""Points of an SMTP session, recognized by its public methods and by the bytes on their way."""

import asyncio
import re
from typing import Any, Self

from outbox import smtp
from outbox.smtp import connection
from outbox.smtp.transport import SmtpTransport
from tests.crash.points import KillSwitch, Point

_ENVELOPE = re.compile(rb"^MAIL FROM:", re.MULTILINE)
_HEADER = re.compile(rb"^Subject:", re.MULTILINE)
_END = re.compile(rb"^(?:\.|BDAT \d+ LAST)\r\n", re.MULTILINE)


class WatchedTransport(asyncio.Transport):
    """Pass everything on to asyncio's transport, and stop where the process is to be killed."""

    def __init__(self, inner: asyncio.Transport, switch: KillSwitch) -> None:
        super().__init__()
        self._inner = inner
        self._switch = switch

    def write(self, data: Any) -> None:
        sent = bytes(data)
        header, end = _HEADER.search(sent), _END.search(sent)
        if header:
            self._stop_at(Point.HALF_BODY_SENT, sent[: (header.start() + len(sent)) // 2])
        if end:
            self._stop_at(Point.BEFORE_DOT, sent[: end.start()])
        self._inner.write(data)
        if _ENVELOPE.search(sent) and not end:
            self._switch.reach(Point.ENVELOPE_SENT)
        if end:
            self._switch.reach(Point.DOT_SENT)

    def _stop_at(self, point: Point, sent: bytes) -> None:
        """Reach a point in the middle of a write: the last bytes that leave are those given."""
        if self._switch.kills_at(point):
            self._inner.write(sent)
        self._switch.reach(point)

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)


def watch_smtp(switch: KillSwitch) -> None:
    """Use connections that can be killed, from now on in this process."""

    class WatchedSmtpTransport(SmtpTransport):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            super().connection_made(WatchedTransport(transport, switch))

    class WatchedConnection(smtp.Connection):
        @classmethod
        async def open(cls, *args: Any, **options: Any) -> Self:
            switch.reach(Point.CONNECTING)
            opened = await super().open(*args, **options)
            switch.reach(Point.CONNECTED)
            return opened

        async def send(self, *args: Any, **options: Any) -> smtp.Transaction:
            switch.reach(Point.BEFORE_ENVELOPE)
            transaction = await super().send(*args, **options)
            switch.reach(Point.REPLY_RECEIVED)
            return transaction

        async def quit(self) -> None:
            switch.reach(Point.BEFORE_QUIT)
            await super().quit()

    seams: Any = connection
    seams.SmtpTransport = WatchedSmtpTransport
    seams = smtp
    seams.Connection = WatchedConnection
