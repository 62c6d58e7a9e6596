"""One SMTP session seen from the client, without I/O: bytes in, events out; commands in, bytes out.

Knows which command may follow which (the two tables below are the whole of it), which reply
belongs to which command, and when the server left the path. It opens no socket, reads no clock
and decides nothing about a mail.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from outbox.smtp.extensions import Extensions
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.reply import SHUTDOWN, ProtocolError, Reply, ReplyParser


class Verb(StrEnum):
    """What a reply can be the answer to."""

    GREETING = ""  # nothing was said yet; the server speaks first
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RESPONSE = "response"  # a line within AUTH
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "body"  # a refusal that came before the end of the body
    DOT = "."
    BDAT = "BDAT"  # a chunk that is not the last
    LAST = "LAST"  # the last chunk
    RSET = "RSET"
    QUIT = "QUIT"


class State(StrEnum):
    """How far the session is, counting what was sent rather than what was answered."""

    GREETING = "greeting"  # the server has to speak
    REFUSED = "refused"  # the greeting said no; only QUIT may follow (RFC 5321 3.1)
    GREETED = "greeted"  # EHLO has to follow
    READY = "ready"  # between transactions
    SECURING = "securing"  # STARTTLS sent; nothing may be sent behind it
    HANDSHAKE = "handshake"  # STARTTLS accepted; only TLS may cross now
    LOGIN = "login"  # within AUTH
    ENVELOPE = "envelope"  # from MAIL on
    ASKED = "asked"  # DATA sent
    CONTENT = "content"  # 354 came; the body may leave
    CHUNKS = "chunks"  # BDAT sent, more chunks to follow
    ENDED = "ended"  # dot or last chunk sent; nothing may be sent behind it
    PARTING = "parting"  # QUIT sent
    OVER = "over"  # nothing is sent or heard any more


# Where a command may be given, and the state it leads to.
_GIVEN = {
    (State.GREETED, Verb.EHLO): State.GREETED,
    (State.GREETED, Verb.HELO): State.GREETED,
    (State.READY, Verb.STARTTLS): State.SECURING,
    (State.READY, Verb.AUTH): State.LOGIN,
    (State.LOGIN, Verb.RESPONSE): State.LOGIN,
    (State.READY, Verb.MAIL): State.ENVELOPE,
    (State.ENVELOPE, Verb.RCPT): State.ENVELOPE,
    (State.ENVELOPE, Verb.DATA): State.ASKED,
    (State.CONTENT, Verb.DOT): State.ENDED,
    (State.ENVELOPE, Verb.BDAT): State.CHUNKS,
    (State.CHUNKS, Verb.BDAT): State.CHUNKS,
    (State.ENVELOPE, Verb.LAST): State.ENDED,
    (State.CHUNKS, Verb.LAST): State.ENDED,
    (State.READY, Verb.RSET): State.READY,
    (State.ENVELOPE, Verb.RSET): State.READY,
    (State.CHUNKS, Verb.RSET): State.READY,
    (State.REFUSED, Verb.QUIT): State.PARTING,
    (State.GREETED, Verb.QUIT): State.PARTING,
    (State.READY, Verb.QUIT): State.PARTING,
    (State.ENVELOPE, Verb.QUIT): State.PARTING,
    (State.CHUNKS, Verb.QUIT): State.PARTING,
}

# Which class of reply a command may get, and the state it leads to; None leaves the state.
_ANSWERED: dict[tuple[Verb, int], State | None] = {
    (Verb.GREETING, 2): State.GREETED,
    (Verb.GREETING, 4): State.REFUSED,
    (Verb.GREETING, 5): State.REFUSED,
    (Verb.EHLO, 2): State.READY,
    (Verb.HELO, 2): State.READY,
    (Verb.STARTTLS, 2): State.HANDSHAKE,
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

# The one 3yz that fits; any other is a protocol error.
_GO_AHEAD = {Verb.DATA: 354, Verb.AUTH: 334, Verb.RESPONSE: 334}

# What may share a group under PIPELINING (RFC 2920 3.1, RFC 3030 4.2); the tables end the group.
_GROUPED = frozenset({Verb.RSET, Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.LAST})

# Where a server may echo what it was told of a login; None: unasked. Elsewhere a short password
# would only riddle the text with stars.
_SECRETIVE = frozenset({Verb.AUTH, Verb.RESPONSE, None})

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

_UNASKED_PHASE = {
    State.GREETED: Phase.EHLO,
    State.HANDSHAKE: Phase.TLS,
    State.LOGIN: Phase.AUTH,
    State.ENVELOPE: Phase.RCPT,
    State.CONTENT: Phase.BODY,
    State.CHUNKS: Phase.BODY,
}


# RSET leads from each of these to the next MAIL.
_RESTING = frozenset({State.READY, State.ENVELOPE, State.CHUNKS})


class OutOfOrderError(RuntimeError):
    """Our own code gave a command the session's state does not allow: a mistake in this package."""


class Answer(NamedTuple):
    """Event: the reply to one command; `rcpt` is the number its caller gave that command."""

    verb: Verb
    rcpt: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Ended:
    """Event, always the last: no more can be done with this session."""

    phase: Phase
    kind: FaultKind
    detail: str
    reply: Reply | None = None

    def fault(self) -> SmtpFault:
        return SmtpFault(self.phase, self.kind, self.detail, reply=self.reply)


class Protocol:
    """The client's side of one session. Answers gather until `take`; `ended` stays."""

    def __init__(self) -> None:
        self.state = State.GREETING
        self.extensions = Extensions()
        self.ended: Ended | None = None
        self._parser = ReplyParser()
        self._awaited: deque[tuple[Verb, int]] = deque([(Verb.GREETING, -1)])
        self._answers: list[Answer] = []
        self._secrets: tuple[str, ...] = ()

    @property
    def awaited(self) -> Verb | None:
        """What the next reply will answer; None when the server owes nothing."""
        return self._awaited[0][0] if self._awaited else None

    @property
    def phase(self) -> Phase:
        if self._awaited:
            return PHASE_OF[self._awaited[0][0]]
        return _UNASKED_PHASE.get(self.state, Phase.IDLE)

    @property
    def is_quiet(self) -> bool:
        """Whether a new transaction may begin: nothing owed, nothing pending, not over."""
        return self.state in _RESTING and not self._awaited and not self._parser.pending

    def allows(self, verb: Verb) -> bool:
        """Tell whether the command may be given now, alone."""
        return (self.state, verb) in _GIVEN and not self._awaited

    def command(self, verb: Verb, line: bytes | None = None, rcpt: int = -1) -> bytes:
        """Give a command: returns the bytes to write and expects its reply from now on."""
        state = _GIVEN.get((self.state, verb))
        grouped = self.extensions.pipelining and verb in _GROUPED
        if state is None or (self._awaited and not grouped):
            raise OutOfOrderError(f"{verb} in state {self.state}, awaiting {self.awaited}")
        line = verb.value.encode() if line is None else line
        if b"\r" in line or b"\n" in line:
            raise OutOfOrderError(f"a line break within {verb}")
        if self._parser.pending and not self._awaited:
            # Half a line lay there before the command: its end must not pass for the answer.
            self._end([], FaultKind.PROTOCOL, "the server spoke out of turn")
            return b""
        self.state = state
        self._awaited.append((verb, rcpt))
        return line + b"\r\n"

    def secured(self) -> None:
        """Begin anew within TLS: what was offered in plain text is forgotten (RFC 3207 4.2)."""
        self.state = State.GREETED
        self.extensions = Extensions()

    def hide(self, secret: str) -> None:
        """Keep out of replies and faults what a server may echo of a login."""
        if secret:
            self._secrets += (secret,)

    def take(self) -> list[Answer]:
        """Hand over the answers that came since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def receive(self, data: bytes) -> list[Answer | Ended]:
        """Read what came in, in any portions; ignored once the session is over."""
        events: list[Answer | Ended] = []
        if self.ended is not None:
            return events
        self._parser.feed(data)
        try:
            while self.ended is None:
                if self.state is State.HANDSHAKE:
                    self._refuse_injection(events)
                    break
                reply = self._parser.next()
                if reply is None:
                    break
                self._hear(reply, events)
        except ProtocolError as error:
            self._end(events, FaultKind.PROTOCOL, self._masked(str(error)))
        return events

    def check(self) -> None:
        """Raise the SmtpFault that says why the session is over, if it is."""
        if self.ended is not None:
            raise self.ended.fault()

    def check_answers(self) -> None:
        """Raise as `check`, unless everything asked was answered before the end came."""
        ended = self.ended
        # What comes behind the last reply owed takes nothing from it, unless it shows that
        # replies and commands do not match.
        if ended and (ended.phase is not Phase.IDLE or ended.kind is FaultKind.PROTOCOL):
            raise ended.fault()

    def end(self, kind: FaultKind, detail: str) -> Ended:
        """End the session for a reason from outside: closed, reset, out of time, …"""
        if self.ended is None:
            self._end([], kind, detail)
        assert self.ended is not None
        return self.ended

    def _hear(self, reply: Reply, events: list[Answer | Ended]) -> None:
        verb, rcpt = self._awaited[0] if self._awaited else (None, -1)
        if self._secrets and verb in _SECRETIVE:
            reply = Reply(reply.code, reply.enhanced, self._masked(reply.text))
        if verb is None:
            self._hear_unasked(reply, events)
            return
        if not _fits(verb, reply):
            self._end(events, FaultKind.PROTOCOL, _odd(verb, reply), reply)
            return
        self._answer(events, Answer(verb, rcpt, reply))
        if reply.code == SHUTDOWN and verb is not Verb.QUIT:
            self._end(events, FaultKind.SHUTDOWN, _SHUTDOWN, reply)
            return
        self._awaited.popleft()
        self.state = _ANSWERED[verb, reply.code // 100] or self.state
        if verb is Verb.EHLO and reply.accepted:
            self.extensions = Extensions.of(reply)
        elif verb is Verb.QUIT:
            self._end(events, FaultKind.CLOSED, "the session was closed by QUIT", phase=Phase.IDLE)

    def _hear_unasked(self, reply: Reply, events: list[Answer | Ended]) -> None:
        if reply.code == SHUTDOWN:
            self._end(events, FaultKind.SHUTDOWN, _SHUTDOWN, reply)
        elif self.state is State.CONTENT and (reply.transient or reply.permanent):
            self._answer(events, Answer(Verb.BODY, -1, reply))
            self._end(events, FaultKind.REJECTED, "the server refused the body half-way", reply)
        else:
            detail = f"the server sent “{reply}”, which nothing had asked for"
            self._end(events, FaultKind.PROTOCOL, detail, reply)

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _answer(self, events: list[Answer | Ended], answer: Answer) -> None:
        self._answers.append(answer)
        events.append(answer)

    def _refuse_injection(self, events: list[Answer | Ended]) -> None:
        if self._parser.pending:
            detail = "plain bytes came behind the reply to STARTTLS; somebody may have put them in"
            self._end(events, FaultKind.INJECTION, detail, phase=Phase.STARTTLS)

    def _end(
        self,
        events: list[Answer | Ended],
        kind: FaultKind,
        detail: str,
        reply: Reply | None = None,
        phase: Phase | None = None,
    ) -> None:
        self.ended = Ended(phase or self.phase, kind, detail, reply)
        self.state = State.OVER
        events.append(self.ended)


_SHUTDOWN = "the server is closing the connection (421)"


def _fits(verb: Verb, reply: Reply) -> bool:
    if reply.intermediate and reply.code != _GO_AHEAD.get(verb):
        return False
    return (verb, reply.code // 100) in _ANSWERED


def _odd(verb: Verb, reply: Reply) -> str:
    after = verb.value or "being called"
    return f"the server answered “{reply}” to {after}, which is no answer to that"
