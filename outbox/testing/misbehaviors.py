"""How a misbehaving server replies: one function for each misbehavior of a scenario."""

import asyncio
import struct
from collections.abc import Callable
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

from outbox.testing.action import Action, Misbehavior
from outbox.testing.dialogue import HUGE
from outbox.testing.language import Language

_LINES = 3000  # of an endless reply, in one write
_BUFFER_MAX = 65_536  # octets that may wait for a client that does not read
_BUFFER_CHECK_EVERY = 0.005  # seconds

DELIVERED = frozenset(
    {Misbehavior.REPLY, Misbehavior.DRIP, Misbehavior.SPLIT, Misbehavior.EXTRA, Misbehavior.HUGE}
)
"""The misbehaviors after which the client has the complete reply."""


class MisbehavingConnection(Protocol):
    """A connection that can misbehave."""

    transport: asyncio.Transport

    @property
    def language(self) -> Language: ...
    def send(self, data: bytes, text: str = "") -> None: ...
    def note(self, speaker: str, text: str) -> None: ...
    def stop_replying(self) -> None: ...
    def stop_reading(self) -> None: ...
    def flush(self) -> None: ...
    def hold(self, seconds: float) -> None: ...
    def when_free(self, call: Callable[[], None]) -> None: ...
    def close(self) -> None: ...


def perform(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    """Carry out an action; `reply` is the reply that it changes."""
    _PERFORMERS[action.kind](connection, action, reply)


def _reply(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    language = connection.language
    connection.send(language.wire(reply), language.shown(reply))


def _send(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.send(action.raw)


def _garbage(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.send(connection.language.garbage)


def _extra(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    _reply(connection, action, reply)
    _reply(connection, action, action.reply)


def _huge(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    language = connection.language
    connection.send(language.huge(reply), f"{language.shown(reply)}xxx… ({HUGE:,} octets)")


def _wrong_class(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    _reply(connection, action, connection.language.wrong_class(reply))


def _drip(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.flush()
    language = connection.language
    connection.note("S", f"{language.shown(reply)} (byte by byte)")
    _trickle(connection, action.interval, language.wire(reply))


def _trickle(connection: MisbehavingConnection, interval: float, rest: bytes) -> None:
    connection.transport.write(rest[:1])
    if rest[1:]:
        connection.hold(interval)
        connection.when_free(partial(_trickle, connection, interval, rest[1:]))


def _endless(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.flush()
    beginning, line = connection.language.endless
    connection.note("S", f"{line.decode().rstrip()}, endlessly")
    connection.stop_reading()
    connection.transport.write(beginning)
    _pour(connection, line * _LINES)


def _pour(connection: MisbehavingConnection, lines: bytes) -> None:
    if connection.transport.is_closing():
        return
    if connection.transport.get_write_buffer_size() < _BUFFER_MAX:
        connection.transport.write(lines)
    asyncio.get_running_loop().call_later(_BUFFER_CHECK_EVERY, _pour, connection, lines)


def _missing(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.note("-", f"reply withheld: {connection.language.shown(reply)}")


def _no_reply(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    withheld = connection.language.shown(reply)
    connection.note("-", f"no reply from here on, first withheld: {withheld}")
    connection.stop_replying()


def _black_hole(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.flush()
    connection.note("-", "nothing is read or sent from here on")
    connection.stop_reading()


def _close(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.note("-", "the server closes")
    connection.close()


def _reset(connection: MisbehavingConnection, action: Action, reply: str) -> None:
    connection.flush()
    connection.note("-", "the server resets the connection")
    reset(connection.transport)
    connection.stop_reading()


def reset(transport: asyncio.Transport) -> None:
    """Abort a connection with RST, as a crashed host or a firewall does."""
    socket = transport.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


_PERFORMERS: dict[Misbehavior, Callable[[MisbehavingConnection, Action, str], None]] = {
    Misbehavior.REPLY: _reply,
    Misbehavior.SEND: _send,
    Misbehavior.DRIP: _drip,
    Misbehavior.SPLIT: _drip,  # with minimal pauses
    Misbehavior.EXTRA: _extra,
    Misbehavior.MISSING: _missing,
    Misbehavior.NO_REPLY: _no_reply,
    Misbehavior.HUGE: _huge,
    Misbehavior.ENDLESS: _endless,
    Misbehavior.GARBAGE: _garbage,
    Misbehavior.WRONG_CLASS: _wrong_class,
    Misbehavior.BLACK_HOLE: _black_hole,
    Misbehavior.CLOSE: _close,
    Misbehavior.RESET: _reset,
}
