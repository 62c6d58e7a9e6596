"""The client side of one POP3 session, without I/O: bytes in, events out; commands in, bytes out.

It knows which command may follow which, which response belongs to which command, and when the
server violates the protocol. It opens no socket, reads no clock and decides nothing about messages.
A message is passed on in pieces as it arrives.
"""

import re
from collections import deque
from enum import StrEnum
from typing import NamedTuple

from outbox.pop3.capabilities import Capabilities, read_capabilities
from outbox.pop3.faults import FaultKind, Pop3FaultError
from outbox.pop3.responses import (
    EMPTY_MAX,
    LISTED_LINE_MAX,
    BodyReader,
    LineReader,
    ProtocolError,
    Status,
    parse_status,
)

LISTING_MAX = 1_000_000  # lines of one listing
LISTING_BYTES_MAX = 32 * 1024 * 1024  # of one listing
CAPABILITIES_BYTES_MAX = 64 * 1024  # of the response to CAPA, which comes before the login
_STAMP = re.compile(r"<[!-;=?-~]{1,250}@[!-;=?-~]{1,250}>")  # of APOP (RFC 1939 7)


class Verb(StrEnum):
    """The command that a response belongs to."""

    GREETING = ""
    CAPA = "CAPA"
    STLS = "STLS"
    USER = "USER"
    PASS = "PASS"  # noqa: S105  # a command
    APOP = "APOP"
    AUTH = "AUTH"
    RESPONSE = "response"  # a line within AUTH
    UTF8 = "UTF8"
    STAT = "STAT"
    LIST = "LIST"
    UIDL = "UIDL"
    RETR = "RETR"
    TOP = "TOP"
    DELE = "DELE"
    NOOP = "NOOP"
    RSET = "RSET"
    QUIT = "QUIT"


class State(StrEnum):
    """The state of the session (RFC 1939 3)."""

    GREETING = "greeting"
    AUTHORIZATION = "authorization"
    TLS = "tls"  # STLS accepted; the TLS handshake has to follow
    LOGIN = "login"  # within AUTH
    TRANSACTION = "transaction"
    QUIT_SENT = "quit_sent"
    CLOSED = "closed"


_LOGIN_VERBS = frozenset({Verb.PASS, Verb.APOP, Verb.AUTH, Verb.RESPONSE})
_IN_TRANSACTION = frozenset(
    {Verb.STAT, Verb.LIST, Verb.UIDL, Verb.RETR, Verb.TOP, Verb.DELE, Verb.NOOP, Verb.RSET}
)
_ALLOWED = {
    State.AUTHORIZATION: frozenset(
        {Verb.CAPA, Verb.STLS, Verb.USER, Verb.PASS, Verb.APOP, Verb.AUTH, Verb.UTF8, Verb.QUIT}
    ),
    State.LOGIN: frozenset({Verb.RESPONSE}),
    State.TRANSACTION: _IN_TRANSACTION | {Verb.CAPA, Verb.QUIT},
}
_BODIES = frozenset({Verb.RETR, Verb.TOP})


class OutOfOrderError(RuntimeError):
    """A command that the session's state does not allow: a defect in the caller."""


class Response(NamedTuple):
    """Event: a command is complete. `lines` has its listing; a message came in pieces before."""

    verb: Verb
    number: int  # of the message; 0 if the command names none
    status: Status
    lines: tuple[bytes, ...] = ()


class Piece(NamedTuple):
    """Event: the next bytes of a message, without byte-stuffing."""

    number: int
    data: bytes


Event = Response | Piece


class _Awaited(NamedTuple):
    verb: Verb
    number: int
    is_listing: bool


class Protocol:
    """The client's state of one session. `fault` is set when it is over, and final."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self.capabilities = Capabilities()
        self.stamp = ""  # of the greeting, for APOP
        self.fault: Pop3FaultError | None = None
        self.marked: set[int] = set()  # messages that the server deletes at QUIT
        self.deleted: frozenset[int] = frozenset()  # those, once QUIT succeeded
        self._lines = LineReader()
        self._awaited = deque([_Awaited(Verb.GREETING, 0, is_listing=False)])
        self._body: BodyReader | None = None  # of the response that is being received
        self._listing: list[bytes] = []
        self._listing_room = 0  # bytes that the listing may still have
        self._listed = LineReader()
        self._status: Status | None = None  # of that response
        self._empty = 0

    @property
    def awaited(self) -> Verb | None:
        """The command that the next response belongs to; None if none is due."""
        return self._awaited[0].verb if self._awaited else None

    def command(self, verb: Verb, argument: bytes = b"", number: int = 0) -> bytes:
        """Return the bytes of a command, whose response is expected from now on.

        `argument` is what follows the verb; of a response within AUTH, the whole line.
        """
        if verb not in _ALLOWED.get(self.state, ()) or not self._may_follow(verb):
            raise OutOfOrderError(f"{verb} in state {self.state}, awaiting {self.awaited}")
        if number:
            argument = b" ".join(filter(None, (str(number).encode(), argument)))
        line = argument if verb is Verb.RESPONSE else verb.value.encode()
        if argument and verb is not Verb.RESPONSE:
            line += b" " + argument
        if b"\r" in line or b"\n" in line:
            raise OutOfOrderError(f"a line break within {verb}")
        is_listing = verb is Verb.CAPA or (verb in {Verb.LIST, Verb.UIDL} and not argument)
        self._awaited.append(_Awaited(verb, number, is_listing))
        if verb is Verb.QUIT:
            self.state = State.QUIT_SENT
        elif verb is Verb.AUTH:
            self.state = State.LOGIN
        return line + b"\r\n"

    def _may_follow(self, verb: Verb) -> bool:
        """Return whether a command may be sent while responses are due (RFC 2449 6.6)."""
        if not self._awaited:
            return True
        is_group = self.state is State.TRANSACTION and verb in _IN_TRANSACTION
        return self.capabilities.pipelining and is_group

    def secured(self) -> None:
        """Start again within TLS; forget what the server announced before (RFC 2595 4)."""
        self.state = State.AUTHORIZATION
        self.capabilities = Capabilities()

    def receive(self, data: bytes) -> list[Event]:
        """Parse received bytes, in any portions; ignore them once the session is over."""
        events: list[Event] = []
        if self.fault is not None or self.state is State.CLOSED:
            return events
        self._lines.feed(data)
        try:
            while self.fault is None and self._step(events):
                pass
        except ProtocolError as error:
            self.end(FaultKind.PROTOCOL, str(error))
        return events

    def end(self, kind: FaultKind, text: str = "") -> Pop3FaultError:
        """End the session for a reason that may be external: closed, timed out, …"""
        if self.fault is None:
            self.fault = Pop3FaultError(kind, text)
            self.state = State.CLOSED
        return self.fault

    def check(self) -> None:
        """Raise the fault that ended the session, if it is over."""
        if self.fault is not None:
            raise self.fault

    def _step(self, events: list[Event]) -> bool:
        """Read one line or one piece; return whether there may be more."""
        if self._body is not None:
            return self._read_body(self._body, events)
        if self.state is State.TLS and self._lines.pending:
            self.end(FaultKind.INJECTION, "data after the response to STLS")
            return False
        line = self._lines.line()
        if line is None:
            return False
        if not line and self._empty < EMPTY_MAX:
            self._empty += 1
            return True
        status = parse_status(line)
        if not self._awaited:
            self.end(FaultKind.PROTOCOL, f"a response without a command: {status.text}")
            return False
        self._handle(status, events)
        return True

    def _handle(self, status: Status, events: list[Event]) -> None:
        awaited = self._awaited[0]
        if status.is_challenge and awaited.verb not in {Verb.AUTH, Verb.RESPONSE}:
            raise ProtocolError(f"a challenge in response to {awaited.verb}")
        if status.is_ok and (awaited.is_listing or awaited.verb in _BODIES):
            ends_bare = awaited.is_listing or self._lines.ended_bare
            self._status, self._listing = status, []
            self._body = BodyReader(ends_bare=ends_bare)
            self._listed = LineReader(LISTED_LINE_MAX)
            is_capa = awaited.verb is Verb.CAPA
            self._listing_room = CAPABILITIES_BYTES_MAX if is_capa else LISTING_BYTES_MAX
            return
        self._complete(Response(awaited.verb, awaited.number, status), events)

    def _read_body(self, body: BodyReader, events: list[Event]) -> bool:
        data = self._lines.take()
        if not data:
            return False
        content, rest = body.feed(data)
        awaited = self._awaited[0]
        if awaited.is_listing:
            self._list(content)
        elif content:
            events.append(Piece(awaited.number, content))
        if rest is None:
            return False
        assert self._status is not None
        self._body = None
        self._lines.put_back(rest)
        response = Response(awaited.verb, awaited.number, self._status, tuple(self._listing))
        self._listing = []
        self._complete(response, events)
        return True

    def _list(self, content: bytes) -> None:
        self._listing_room -= len(content)
        if self._listing_room < 0:
            raise ProtocolError("a listing of too many bytes")
        self._listed.feed(content)
        while (line := self._listed.line()) is not None:
            if len(self._listing) == LISTING_MAX:
                raise ProtocolError(f"a listing of more than {LISTING_MAX:,} lines")
            self._listing.append(line)

    def _complete(self, response: Response, events: list[Event]) -> None:
        self._awaited.popleft()
        events.append(response)
        verb, status = response.verb, response.status
        if verb is Verb.GREETING:
            self._greeted(status)
        elif verb is Verb.CAPA and status.is_ok:
            self.capabilities = read_capabilities(response.lines)
        elif verb is Verb.STLS and status.is_ok:
            self.state = State.TLS
        elif verb in _LOGIN_VERBS and not status.is_challenge:
            self.state = State.TRANSACTION if status.is_ok else State.AUTHORIZATION
        elif verb is Verb.DELE and status.is_ok:
            self.marked.add(response.number)
        elif verb is Verb.RSET and status.is_ok:
            self.marked.clear()
        elif verb is Verb.QUIT:
            self.deleted = frozenset(self.marked) if status.is_ok else frozenset()
            self.state = State.CLOSED

    def _greeted(self, status: Status) -> None:
        if not status.is_ok:
            kind = FaultKind.BUSY if status.code == "IN-USE" else FaultKind.WAIT
            self.end(kind, status.text)
            return
        self.state = State.AUTHORIZATION
        stamps = _STAMP.findall(status.text)
        self.stamp = stamps[-1] if stamps else ""
