"""The client side of one SMTP session, without I/O: bytes in, events out; commands in, bytes out.

It knows which command may follow which (the two tables below define it), which reply belongs to
which command, and when the server violates the protocol. It opens no socket, reads no clock and
decides nothing about a message.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from outbox.reasons import Reason, ReasonCode
from outbox.smtp.extensions import Extensions
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.masking import Masker
from outbox.smtp.remedies import remedy_of
from outbox.smtp.reply import SHUTDOWN, ProtocolError, Reply, ReplyParser


class Verb(StrEnum):
    """The command, or part of one, that a reply belongs to."""

    GREETING = ""  # no command: the server sends the first reply
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RESPONSE = "response"  # a line within AUTH
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "body"  # a rejection before the end of the body
    DOT = "."
    BDAT = "BDAT"  # a chunk that is not the last
    LAST = "LAST"  # the last chunk
    RSET = "RSET"
    QUIT = "QUIT"


class State(StrEnum):
    """The state of the session, which follows what was sent rather than what was received."""

    GREETING = "greeting"  # the server has to send its greeting
    REFUSED = "refused"  # the greeting was negative; only QUIT may follow (RFC 5321 3.1)
    GREETED = "greeted"  # EHLO has to follow
    READY = "ready"  # between transactions
    STARTTLS_SENT = "starttls_sent"  # STARTTLS sent; nothing may be sent after it
    TLS = "tls"  # STARTTLS accepted; the TLS handshake has to follow
    LOGIN = "login"  # within AUTH
    ENVELOPE = "envelope"  # after MAIL
    DATA_SENT = "data_sent"  # DATA sent
    CONTENT = "content"  # 354 received; the body may be sent
    CHUNKS = "chunks"  # BDAT sent, more chunks to follow
    END_SENT = "end_sent"  # final dot or last chunk sent; nothing may be sent after it
    QUIT_SENT = "quit_sent"  # QUIT sent
    CLOSED = "closed"  # nothing is sent or received any more


# In which states a command is allowed, and the state after it.
_AFTER_COMMAND = {
    (State.GREETED, Verb.EHLO): State.GREETED,
    (State.GREETED, Verb.HELO): State.GREETED,
    (State.READY, Verb.STARTTLS): State.STARTTLS_SENT,
    (State.READY, Verb.AUTH): State.LOGIN,
    (State.LOGIN, Verb.RESPONSE): State.LOGIN,
    (State.READY, Verb.MAIL): State.ENVELOPE,
    (State.ENVELOPE, Verb.RCPT): State.ENVELOPE,
    (State.ENVELOPE, Verb.DATA): State.DATA_SENT,
    (State.CONTENT, Verb.DOT): State.END_SENT,
    (State.ENVELOPE, Verb.BDAT): State.CHUNKS,
    (State.CHUNKS, Verb.BDAT): State.CHUNKS,
    (State.ENVELOPE, Verb.LAST): State.END_SENT,
    (State.CHUNKS, Verb.LAST): State.END_SENT,
    (State.READY, Verb.RSET): State.READY,
    (State.ENVELOPE, Verb.RSET): State.READY,
    (State.CHUNKS, Verb.RSET): State.READY,
    (State.REFUSED, Verb.QUIT): State.QUIT_SENT,
    (State.GREETED, Verb.QUIT): State.QUIT_SENT,
    (State.READY, Verb.QUIT): State.QUIT_SENT,
    (State.ENVELOPE, Verb.QUIT): State.QUIT_SENT,
    (State.CHUNKS, Verb.QUIT): State.QUIT_SENT,
}

# Which classes of reply a command may get, and the state after it; None keeps the state.
_AFTER_REPLY: dict[tuple[Verb, int], State | None] = {
    (Verb.GREETING, 2): State.GREETED,
    (Verb.GREETING, 4): State.REFUSED,
    (Verb.GREETING, 5): State.REFUSED,
    (Verb.EHLO, 2): State.READY,
    (Verb.HELO, 2): State.READY,
    (Verb.STARTTLS, 2): State.TLS,
    (Verb.STARTTLS, 4): State.READY,
    (Verb.STARTTLS, 5): State.READY,
    (Verb.DATA, 3): State.CONTENT,
    (Verb.DATA, 4): State.ENVELOPE,
    (Verb.DATA, 5): State.ENVELOPE,
    **{(verb, 3): State.LOGIN for verb in (Verb.AUTH, Verb.RESPONSE)},
    **{(verb, n): State.READY for verb in (Verb.AUTH, Verb.RESPONSE) for n in (2, 4, 5)},
    **{(verb, n): State.READY for verb in (Verb.DOT, Verb.LAST) for n in (2, 4, 5)},
    **{(verb, n): None for verb in (Verb.EHLO, Verb.HELO) for n in (4, 5)},
    **{
        (verb, n): None
        for verb in (Verb.MAIL, Verb.RCPT, Verb.BDAT, Verb.RSET, Verb.QUIT)
        for n in (2, 4, 5)
    },
}

# The only valid 3yz reply of a command; any other is a protocol error.
_INTERMEDIATE_CODE = {Verb.DATA: 354, Verb.AUTH: 334, Verb.RESPONSE: 334}

# Commands that PIPELINING may group (RFC 2920 3.1, RFC 3030 4.2); the tables end a group.
_PIPELINED = frozenset({Verb.RSET, Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.LAST})

# A login may depend on the last line of the reply to EHLO, and on all of a challenge.
_READ_AS_A_WHOLE = frozenset({Verb.EHLO, Verb.AUTH, Verb.RESPONSE})

# Replies in which even short secrets are masked; None: unsolicited.
_IN_LOGIN = frozenset({Verb.AUTH, Verb.RESPONSE, None})

PHASE_OF = {
    Verb.GREETING: Phase.GREETING,
    Verb.EHLO: Phase.EHLO,
    Verb.HELO: Phase.EHLO,
    Verb.STARTTLS: Phase.STARTTLS,
    Verb.AUTH: Phase.AUTH,
    Verb.RESPONSE: Phase.AUTH,
    Verb.MAIL: Phase.MAIL,
    Verb.RCPT: Phase.RCPT,
    Verb.DATA: Phase.DATA,
    Verb.BODY: Phase.BODY,
    Verb.DOT: Phase.DOT,
    Verb.BDAT: Phase.BODY,
    Verb.LAST: Phase.DOT,
    Verb.RSET: Phase.RSET,
    Verb.QUIT: Phase.QUIT,
}

_UNSOLICITED_PHASE = {
    State.GREETED: Phase.EHLO,
    State.TLS: Phase.TLS,
    State.LOGIN: Phase.AUTH,
    State.ENVELOPE: Phase.RCPT,
    State.CONTENT: Phase.BODY,
    State.CHUNKS: Phase.BODY,
}


# The states in which RSET and another transaction are allowed.
_BETWEEN_TRANSACTIONS = frozenset({State.READY, State.ENVELOPE, State.CHUNKS})


class OutOfOrderError(RuntimeError):
    """A command that the session's state does not allow: a defect in this package."""


class CommandReply(NamedTuple):
    """Event: the reply to one command; `rcpt` is the number that its caller gave the command."""

    verb: Verb
    rcpt: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ended:
    """Event, always the last: the session is over."""

    phase: Phase
    kind: FaultKind
    reason: Reason
    reply: Reply | None = None

    def fault(self) -> SmtpFault:
        return SmtpFault(self.phase, self.kind, self.reason, reply=self.reply)


class Protocol:
    """The client's state of one session. Replies wait for `take_replies`; `ended` is final."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self.extensions = Extensions()
        self.ended: Ended | None = None
        self._parser = ReplyParser()
        self._awaited: deque[tuple[Verb, int]] = deque([(Verb.GREETING, -1)])
        self._replies: list[CommandReply] = []
        self.masker = Masker()

    @property
    def awaited(self) -> Verb | None:
        """The command that the next reply belongs to; None if no reply is due."""
        return self._awaited[0][0] if self._awaited else None

    @property
    def phase(self) -> Phase:
        if self._awaited:
            return PHASE_OF[self._awaited[0][0]]
        return _UNSOLICITED_PHASE.get(self.state, Phase.IDLE)

    @property
    def is_quiet(self) -> bool:
        """Whether a new transaction may begin: no reply due, no input pending, not over."""
        return (
            self.state in _BETWEEN_TRANSACTIONS and not self._awaited and not self._parser.pending
        )

    def allows(self, verb: Verb) -> bool:
        """Return whether the command is allowed now, outside a group."""
        return (self.state, verb) in _AFTER_COMMAND and not self._awaited

    def command(self, verb: Verb, line: bytes | None = None, rcpt: int = -1) -> bytes:
        """Return the bytes of a command, whose reply is expected from now on."""
        state = _AFTER_COMMAND.get((self.state, verb))
        pipelined = self.extensions.pipelining and verb in _PIPELINED
        if state is None or (self._awaited and not pipelined):
            raise OutOfOrderError(f"{verb} in state {self.state}, awaiting {self.awaited}")
        line = verb.value.encode() if line is None else line
        if b"\r" in line or b"\n" in line:
            raise OutOfOrderError(f"a line break within {verb}")
        if self._parser.pending and not self._awaited:
            # Part of a line arrived before the command: its end must not count as the reply.
            self._end([], FaultKind.PROTOCOL, Reason(ReasonCode.REPLY_EARLY))
            return b""
        self.state = state
        self._awaited.append((verb, rcpt))
        return line + b"\r\n"

    def secured(self) -> None:
        """Start again within TLS; discard the extensions of the plain session (RFC 3207 4.2)."""
        self.state = State.GREETED
        self.extensions = Extensions()

    def take_replies(self) -> list[CommandReply]:
        """Return the replies since the last call."""
        replies, self._replies = self._replies, []
        return replies

    def receive(self, data: bytes) -> list[CommandReply | Ended]:
        """Parse received bytes, in any portions; ignore them once the session is over."""
        events: list[CommandReply | Ended] = []
        if self.ended is not None:
            return events
        self._parser.feed(data)
        try:
            while self.ended is None:
                if self.state is State.TLS:
                    self._reject_injection(events)
                    break
                self._parser.keeps_whole = self.awaited in _READ_AS_A_WHOLE
                reply = self._parser.next()
                if reply is None:
                    break
                self._handle(reply, events)
        except ProtocolError as error:
            self._end(events, FaultKind.PROTOCOL, error.reason.map_texts(self.masker.masked_start))
        return events

    def check(self) -> None:
        """Raise the SmtpFault that ended the session, if it is over."""
        if self.ended is not None:
            raise self.ended.fault()

    def check_replies(self) -> None:
        """Raise as `check`, unless every command had its reply before the end."""
        ended = self.ended
        # Input after the last due reply does not change that reply, unless it shows that replies
        # and commands do not match.
        if ended and (ended.phase is not Phase.IDLE or ended.kind is FaultKind.PROTOCOL):
            raise ended.fault()

    def end(self, kind: FaultKind, reason: Reason) -> Ended:
        """End the session for an external reason: closed, reset, timed out, …"""
        if self.ended is None:
            self._end([], kind, reason)
        assert self.ended is not None
        return self.ended

    def _handle(self, reply: Reply, events: list[CommandReply | Ended]) -> None:
        verb, rcpt = self._awaited[0] if self._awaited else (None, -1)
        text = self.masker.masked(reply.text, in_login=verb in _IN_LOGIN)
        whole = reply.whole and self.masker.masked(reply.whole, in_login=verb in _IN_LOGIN)
        if (text, whole) != (reply.text, reply.whole):
            reply = Reply(reply.code, reply.enhanced, text, whole)
        if verb is None:
            self._handle_unsolicited(reply, events)
            return
        if not _fits(verb, reply):
            self._end(events, FaultKind.PROTOCOL, _mismatch(verb, reply), reply)
            return
        self._emit(events, CommandReply(verb, rcpt, reply))
        if reply.code == SHUTDOWN and verb is not Verb.QUIT:
            self._end(events, FaultKind.SHUTDOWN, remedy_of(reply) or _SHUTDOWN, reply)
            return
        self._awaited.popleft()
        self.state = _AFTER_REPLY[verb, reply.code // 100] or self.state
        if verb is Verb.EHLO and reply.accepted:
            self.extensions = Extensions.of(reply)
        elif verb is Verb.QUIT:
            reason = Reason(ReasonCode.SESSION_QUIT)
            self._end(events, FaultKind.CLOSED, reason, phase=Phase.IDLE)

    def _handle_unsolicited(self, reply: Reply, events: list[CommandReply | Ended]) -> None:
        if reply.code == SHUTDOWN:
            self._end(events, FaultKind.SHUTDOWN, remedy_of(reply) or _SHUTDOWN, reply)
        elif self.state is State.CONTENT and (reply.transient or reply.permanent):
            self._emit(events, CommandReply(Verb.BODY, -1, reply))
            self._end(events, FaultKind.REJECTED, Reason(ReasonCode.BODY_REJECTED), reply)
        else:
            reason = Reason(ReasonCode.REPLY_UNSOLICITED, text=reply.quoted)
            self._end(events, FaultKind.PROTOCOL, reason, reply)

    def _emit(self, events: list[CommandReply | Ended], event: CommandReply) -> None:
        self._replies.append(event)
        events.append(event)

    def _reject_injection(self, events: list[CommandReply | Ended]) -> None:
        if self._parser.pending:
            reason = Reason(ReasonCode.STARTTLS_INJECTION)
            self._end(events, FaultKind.INJECTION, reason, phase=Phase.STARTTLS)

    def _end(
        self,
        events: list[CommandReply | Ended],
        kind: FaultKind,
        reason: Reason,
        reply: Reply | None = None,
        phase: Phase | None = None,
    ) -> None:
        self.ended = Ended(phase or self.phase, kind, reason, reply)
        self.state = State.CLOSED
        events.append(self.ended)


_SHUTDOWN = Reason(ReasonCode.SHUTDOWN)


def _fits(verb: Verb, reply: Reply) -> bool:
    if reply.intermediate and reply.code != _INTERMEDIATE_CODE.get(verb):
        return False
    return (verb, reply.code // 100) in _AFTER_REPLY


def _mismatch(verb: Verb, reply: Reply) -> Reason:
    if not verb.value:
        return Reason(ReasonCode.GREETING_UNFITTING, text=reply.quoted)
    return Reason(ReasonCode.REPLY_UNFITTING, text=reply.quoted, command=verb.value)
