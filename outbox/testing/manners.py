"""How a misbehaving server answers: one function for each manner that a scenario can name."""

import asyncio
import struct
from collections.abc import Callable
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

from outbox.testing.action import Action, Manner
from outbox.testing.dialogue import wire

_HUGE = 1_000_000  # octets
_GARBAGE = b"\x00\xff\xfe?!\x1b[31m this is not SMTP \x9b\r\n"
_ENDLESS = b"250-and another line\r\n" * 3000
_ROOM = 65_536  # octets that may wait for a client that does not read
_BREATH = 0.005  # seconds between two looks whether there is room

DELIVERED = frozenset({Manner.REPLY, Manner.DRIP, Manner.SPLIT, Manner.EXTRA, Manner.HUGE})
"""The manners after which a client has heard the whole reply."""


class Speaker(Protocol):
    """A connection that can be made to misbehave."""

    transport: asyncio.Transport

    def say(self, data: bytes, text: str = "") -> None: ...
    def note(self, who: str, text: str) -> None: ...
    def fall_silent(self) -> None: ...
    def vanish(self) -> None: ...
    def flush(self) -> None: ...
    def hold(self, seconds: float) -> None: ...
    def when_free(self, act: Callable[[], None]) -> None: ...
    def hang_up(self) -> None: ...


def perform(speaker: Speaker, action: Action, reply: str) -> None:
    """Answer in the manner of an action; the reply is the one that it is about."""
    _PERFORMERS[action.manner](speaker, action, reply)


def _reply(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.say(wire(reply))


def _send(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.say(action.raw)


def _garbage(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.say(_GARBAGE)


def _extra(speaker: Speaker, action: Action, reply: str) -> None:
    _reply(speaker, action, reply)
    _reply(speaker, action, action.reply)


def _huge(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.say(wire(reply + "x" * _HUGE), f"{reply}xxx… ({_HUGE:,} octets)")


def _wrong_class(speaker: Speaker, action: Action, reply: str) -> None:
    _reply(speaker, action, "250 2.0.0 Ok" if reply.startswith("3") else "354 Go ahead")


def _drip(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.flush()
    speaker.note("S", f"{reply} (byte by byte)")
    _trickle(speaker, action.interval, wire(reply))


def _trickle(speaker: Speaker, interval: float, rest: bytes) -> None:
    speaker.transport.write(rest[:1])
    if rest[1:]:
        speaker.hold(interval)
        speaker.when_free(partial(_trickle, speaker, interval, rest[1:]))


def _endless(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.flush()
    speaker.note("S", "250-and another line, for ever")
    speaker.vanish()
    _pour(speaker)


def _pour(speaker: Speaker) -> None:
    if speaker.transport.is_closing():
        return
    if speaker.transport.get_write_buffer_size() < _ROOM:
        speaker.transport.write(_ENDLESS)
    asyncio.get_running_loop().call_later(_BREATH, _pour, speaker)


def _missing(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.note("-", f"left unsaid: {reply}")


def _never_answer(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.note("-", f"silent from here on, without: {reply}")
    speaker.fall_silent()


def _black_hole(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.flush()
    speaker.note("-", "nothing is heard or said from here on")
    speaker.vanish()


def _close(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.note("-", "the server closes")
    speaker.hang_up()


def _reset(speaker: Speaker, action: Action, reply: str) -> None:
    speaker.flush()
    speaker.note("-", "the server resets the connection")
    reset(speaker.transport)
    speaker.vanish()


def reset(transport: asyncio.Transport) -> None:
    """Drop a connection with RST, as a crashed host or an angry firewall does."""
    socket = transport.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


_PERFORMERS: dict[Manner, Callable[[Speaker, Action, str], None]] = {
    Manner.REPLY: _reply,
    Manner.SEND: _send,
    Manner.DRIP: _drip,
    Manner.SPLIT: _drip,  # with hardly a pause
    Manner.EXTRA: _extra,
    Manner.MISSING: _missing,
    Manner.NEVER_ANSWER: _never_answer,
    Manner.HUGE: _huge,
    Manner.ENDLESS: _endless,
    Manner.GARBAGE: _garbage,
    Manner.WRONG_CLASS: _wrong_class,
    Manner.BLACK_HOLE: _black_hole,
    Manner.CLOSE: _close,
    Manner.RESET: _reset,
}
