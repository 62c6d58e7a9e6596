"""The dialogue of one transaction, from MAIL to the reply behind the dot, as a script.

Three courses, which end alike for the same replies: step by step; the envelope in one group
(PIPELINING); everything in one group (with CHUNKING). Each reply is noted for exactly the
recipients it speaks of. Whether a refusal is worth another attempt is not decided here.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator

from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.plan import Plan
from outbox.smtp.protocol import PHASE_OF, Answer, Protocol, Verb
from outbox.smtp.reply import BAD_SEQUENCE, SHUTDOWN, WANTS_LOGIN, Reply
from outbox.smtp.steps import Act, Script, Stream, Write
from outbox.smtp.transaction import Disposition, RecipientOutcome, Transaction

GROUP = 16_384  # bytes of commands in flight: well below any send buffer (RFC 2920 3.1)
CHUNK = 1_048_576  # bytes of one BDAT
LAST_CHUNK = 65_536  # bytes of the last one, small so that it leaves in one piece

_TOO_MANY = re.compile(r"too many (?:\w+ )?(?:recipients|rcpts?)", re.IGNORECASE)
_QUEUE_ID = re.compile(
    r"queued(?: for delivery)? as <?(?P<postfix>[\w.:-]+)"
    r"|\bid=(?P<exim>[\w.:-]+)"
    r"|\bqp (?P<qmail>\d+)"
    r"|InternalId=(?P<exchange>\d+)"
    r"|queued \((?P<haraka>[\w.-]+)\)"
    r"|^(?:2\.\d\.\d )?(?P<sendmail>\w{10,}) Message accepted"
    r"|^(?:2\.\d\.\d )?ok:? +(?:\d{9,} +)?(?P<plain>(?=\S*\d)[\w.:-]{8,})",
    re.IGNORECASE,
)


class Dialogue:
    """One transaction under way; `script` fills the transaction it was given."""

    def __init__(
        self,
        protocol: Protocol,
        plan: Plan,
        transaction: Transaction,
        *,
        pipelining: bool = True,
        chunking: bool = True,
        needs_rset: bool = False,
    ) -> None:
        self._protocol = protocol
        self._plan = plan
        self._transaction = transaction
        self._pipelining = pipelining and protocol.extensions.pipelining
        self._chunking = chunking and protocol.extensions.chunking
        self._needs_rset = needs_rset
        self._accepted: list[RecipientOutcome] = []
        self._mail_refused = False
        self._go_ahead = False  # 354 came
        self._content_refused = False
        self.delivered = False  # the server took the mail: no RSET is due

    def script(self) -> Script[None]:
        """Converse to the end, whatever comes; no SmtpFault leaves."""
        try:
            if self._pipelining and self._chunking and self._is_short:
                yield from self._all_at_once()
            else:
                yield from self._envelope()
                yield from self._content()
        except SmtpFault as fault:
            self._break_off(fault)
        self._settle()

    @property
    def _is_short(self) -> bool:
        return len(self._plan.content.source) <= LAST_CHUNK

    # --- what is said ---------------------------------------------------------------------------

    def _all_at_once(self) -> Script[None]:
        """One round trip. Refused recipients do no harm: the server drops the chunk for them."""
        yield Act.ASK
        yield Act.CONSENT
        *groups, final = self._groups([*self._envelope_commands()])
        for group in groups:
            yield from self._group(group)
            if self._mail_refused:
                return
        for verb, line, index in final:
            yield Write(self._protocol.command(verb, line, index))
        yield from self._last_chunk(self._plan.content.source)

    def _envelope(self) -> Script[None]:
        commands = [*self._envelope_commands()]
        if self._pipelining and not self._chunking:
            commands.append((Verb.DATA, b"DATA", -1))
        for group in self._groups(commands):
            yield from self._group(group)
            if self._mail_refused:
                return

    def _content(self) -> Script[None]:
        if not self._accepted:
            if self._go_ahead:
                # The server waits for a body nobody is to get (RFC 2920 3.1).
                yield Write(self._protocol.command(Verb.DOT))
                yield Act.AWAIT
                self._protocol.take()
            return
        if self._chunking:
            yield from self._chunks()
            return
        if not self._pipelining:
            yield from self._group([(Verb.DATA, b"DATA", -1)])
        if self._go_ahead:
            yield from self._body()

    def _body(self) -> Script[None]:
        yield Act.ASK
        yield Stream(self._plan.content.stuffed())
        yield Act.CONSENT
        self._transaction.dot_sent = True
        yield Write(self._protocol.command(Verb.DOT))
        yield from self._answers()

    def _chunks(self) -> Script[None]:
        source = self._plan.content.source
        yield Act.ASK
        rest = max(0, len(source) - LAST_CHUNK)
        for start in range(0, rest, CHUNK):
            chunk = source[start : min(start + CHUNK, rest)]
            yield Write(self._protocol.command(Verb.BDAT, b"BDAT %d" % len(chunk)))
            yield Stream(chunk)
            yield from self._answers()
            if self._content_refused:
                return
        yield Act.CONSENT
        yield from self._last_chunk(source[rest:])

    def _last_chunk(self, chunk: bytes) -> Script[None]:
        self._transaction.dot_sent = True
        yield Write(self._protocol.command(Verb.LAST, b"BDAT %d LAST" % len(chunk)))
        yield Stream(chunk)
        yield from self._answers()

    def _envelope_commands(self) -> Iterator["_Command"]:
        if self._needs_rset:
            yield Verb.RSET, b"RSET", -1
        yield Verb.MAIL, self._plan.mail, -1
        for index, rcpt in enumerate(self._plan.rcpts):
            yield Verb.RCPT, rcpt.line, index

    def _groups(self, commands: list["_Command"]) -> Iterator[list["_Command"]]:
        """Cut into what may be sent at once: one by one without PIPELINING."""
        limit = GROUP if self._pipelining else 0
        group: list[_Command] = []
        size = 0
        for command in commands:
            size += len(command[1]) + 2
            if group and size > limit:
                yield group
                group, size = [], len(command[1]) + 2
            group.append(command)
        yield group

    def _group(self, group: list["_Command"]) -> Script[None]:
        data = b"".join([self._protocol.command(verb, line, n) for verb, line, n in group])
        yield Write(data)
        if self._pipelining and group[-1][0] is Verb.DATA:
            yield Act.ASK
        yield from self._answers()

    def _answers(self) -> Script[None]:
        yield Act.AWAIT
        for answer in self._protocol.take():
            self._note(answer)

    # --- what it means --------------------------------------------------------------------------

    def _note(self, answer: Answer) -> None:
        verb, rcpt, reply = answer
        if reply.code == SHUTDOWN and verb not in {Verb.DOT, Verb.LAST}:
            return  # says nothing of mail or recipient; the session ends with it
        if verb is Verb.RCPT:
            self._note_rcpt(rcpt, reply)
        elif verb is Verb.MAIL:
            self._note_mail(reply)
        elif verb is Verb.RSET:
            if not reply.accepted:
                raise SmtpFault(
                    Phase.RSET, FaultKind.PROTOCOL, "the server refused RSET", reply=reply
                )
        elif verb in {Verb.DOT, Verb.LAST}:
            self._note_end(verb, reply)
        else:
            self._note_content(verb, reply)

    def _note_mail(self, reply: Reply) -> None:
        if reply.accepted:
            return
        self._refuse_session(Verb.MAIL, reply)
        self._mail_refused = True
        for rcpt in self._plan.rcpts:
            _decide(rcpt.outcomes, "MAIL", reply)

    def _note_rcpt(self, index: int, reply: Reply) -> None:
        outcomes = self._plan.rcpts[index].outcomes
        if self._mail_refused:
            return  # answered "no MAIL yet"; MAIL's own reply decides
        if reply.accepted:
            self._accepted.extend(outcomes)
            return
        self._refuse_session(Verb.RCPT, reply)
        _decide(outcomes, "RCPT", reply)
        if _is_overflow(reply):
            # RFC 5321 4.5.3.1.10. With nobody accepted, a further transaction would end the same.
            kind = Disposition.OVERFLOW if self._accepted else Disposition.TRANSIENT
            for outcome in outcomes:
                outcome.disposition = kind

    def _note_content(self, verb: Verb, reply: Reply) -> None:
        """Take the reply to DATA or to a chunk, or an early one amid the body."""
        if verb is Verb.DATA and reply.intermediate:
            self._go_ahead = True
        elif not reply.accepted:
            self._content_refused = True
            if self._accepted:
                self._refuse_sequence(verb, reply)
            _decide(self._accepted, "DATA", reply)

    def _note_end(self, verb: Verb, reply: Reply) -> None:
        _decide(self._accepted, "DOT", reply)
        if reply.accepted:
            self.delivered = bool(self._accepted)
            self._transaction.queue_id = _queue_id(reply)
        elif reply.code == BAD_SEQUENCE and self._accepted:
            for outcome in self._accepted:
                outcome.disposition = Disposition.TRANSIENT
            self._refuse_sequence(verb, reply)

    def _refuse_session(self, verb: Verb, reply: Reply) -> None:
        """Raise where a refusal speaks of the session rather than of the mail."""
        if reply.code in WANTS_LOGIN:
            detail = "the server wants a login or TLS before it takes mail"
            raise SmtpFault(PHASE_OF[verb], FaultKind.AUTH_UNAVAILABLE, detail, reply=reply)
        self._refuse_sequence(verb, reply)

    def _refuse_sequence(self, verb: Verb, reply: Reply) -> None:
        if reply.code == BAD_SEQUENCE:
            detail = f"the server lost track of the session at {PHASE_OF[verb].upper()} (503)"
            raise SmtpFault(PHASE_OF[verb], FaultKind.PROTOCOL, detail, reply=reply)

    def _break_off(self, fault: SmtpFault) -> None:
        self._transaction.fault = fault
        with contextlib.suppress(SmtpFault):
            for answer in self._protocol.take():
                self._note(answer)
        if fault.kind is FaultKind.PROTOCOL and fault.phase is Phase.IDLE:
            # One reply too many: which of them answered the dot cannot be told.
            for outcome in self._accepted:
                outcome.command, outcome.reply = "", None
                outcome.disposition = Disposition.NOT_TRIED

    def _settle(self) -> None:
        for outcome in self._accepted:
            if self._transaction.dot_sent and outcome.disposition is Disposition.NOT_TRIED:
                outcome.disposition = Disposition.UNCERTAIN


_Command = tuple[Verb, bytes, int]


def _decide(outcomes: Iterable[RecipientOutcome], command: str, reply: Reply) -> None:
    if reply.accepted:
        kind = Disposition.ACCEPTED
    else:
        kind = Disposition.TRANSIENT if reply.transient else Disposition.PERMANENT
    for outcome in outcomes:
        outcome.command, outcome.reply, outcome.disposition = command, reply, kind


def _is_overflow(reply: Reply) -> bool:
    if reply.code not in {452, 552}:
        return False
    return reply.enhanced.endswith(".5.3") or bool(_TOO_MANY.search(reply.text))


def _queue_id(reply: Reply) -> str:
    found = _QUEUE_ID.search(reply.text)
    return next(filter(None, found.groups()), "") if found else ""
