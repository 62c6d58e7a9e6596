"""The dialogue of one transaction, from MAIL to the reply behind the dot, as a script.

Says what the course asks for and hands every answer to the tally. The courses end alike for the
same replies; only where the session breaks off can they leave more or less uncertain.
"""

from collections.abc import Iterator

from outbox.smtp.course import LAST_CHUNK, Course
from outbox.smtp.faults import SmtpFault
from outbox.smtp.plan import Plan
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.steps import Act, Script, Stream, Write
from outbox.smtp.tally import Tally
from outbox.smtp.transaction import Transaction

GROUP = 16_384  # bytes of commands in flight: well below any send buffer (RFC 2920 3.1)
CHUNK = 1_048_576  # bytes of each BDAT but the last

_Command = tuple[Verb, bytes, int]


class Dialogue:
    """One transaction under way; `script` fills the transaction it was given."""

    def __init__(
        self,
        protocol: Protocol,
        plan: Plan,
        course: Course,
        transaction: Transaction,
        *,
        needs_rset: bool = False,
    ) -> None:
        self._protocol = protocol
        self._plan = plan
        self._course = course
        self._transaction = transaction
        self._needs_rset = needs_rset
        self._tally = Tally(plan, transaction)

    @property
    def delivered(self) -> bool:
        """Whether the server took the mail; if not, RSET has to follow."""
        return self._tally.delivered

    def script(self) -> Script[None]:
        """Converse to the end, whatever comes; no SmtpFault leaves."""
        try:
            if self._course.at_once:
                yield from self._all_at_once()
            else:
                yield from self._envelope()
                yield from self._content()
        except SmtpFault as fault:
            self._tally.note(self._protocol.take())
            self._tally.break_off(fault)

    def _all_at_once(self) -> Script[None]:
        """Send to refused recipients too: the server drops the chunk for them."""
        yield Act.ASK
        yield Act.CONSENT
        *groups, final = self._groups(self._envelope_commands())
        for group in groups:
            yield from self._group(group)
            if self._tally.mail_refused:
                return
        for verb, line, rcpt in final:
            yield Write(self._command(verb, line, rcpt))
        yield from self._last_chunk(self._plan.content.source)

    def _envelope(self) -> Script[None]:
        for group in self._groups(self._envelope_commands()):
            yield from self._group(group)
            if self._tally.mail_refused:
                return

    def _content(self) -> Script[None]:
        if not self._tally.accepted:
            if self._tally.go_ahead:
                # The server waits for a body nobody is to get (RFC 2920 3.1).
                yield Write(self._command(Verb.DOT))
                yield Act.AWAIT
                self._protocol.take()
        elif self._course.chunked:
            yield from self._chunks()
        else:
            if not self._course.grouped:
                yield from self._group([(Verb.DATA, b"DATA", -1)])
            if self._tally.go_ahead:
                yield Act.ASK
                yield from self._body()

    def _body(self) -> Script[None]:
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
            yield Write(self._command(Verb.BDAT, b"BDAT %d" % len(chunk)))
            yield Stream(chunk)
            yield from self._answers()
            if self._tally.content_refused:
                return
        yield Act.CONSENT
        yield from self._last_chunk(source[rest:])

    def _last_chunk(self, chunk: bytes) -> Script[None]:
        self._transaction.dot_sent = True
        yield Write(self._protocol.command(Verb.LAST, b"BDAT %d LAST" % len(chunk)))
        yield Stream(chunk)
        yield from self._answers()

    def _envelope_commands(self) -> Iterator[_Command]:
        if self._needs_rset:
            yield Verb.RSET, b"RSET", -1
        yield Verb.MAIL, self._plan.mail, -1
        for number, rcpt in enumerate(self._plan.rcpts):
            yield Verb.RCPT, rcpt.line, number
        if self._course.grouped and not self._course.chunked:
            yield Verb.DATA, b"DATA", -1

    def _groups(self, commands: Iterator[_Command]) -> Iterator[list[_Command]]:
        """Cut into what may be sent at once: one by one without PIPELINING."""
        limit = GROUP if self._course.grouped else 0
        group: list[_Command] = []
        size = 0
        for command in commands:
            size += len(command[1]) + 2
            if group and size > limit:
                yield group
                group, size = [], len(command[1]) + 2
            group.append(command)
        yield group

    def _group(self, group: list[_Command]) -> Script[None]:
        yield Write(b"".join([self._command(*command) for command in group]))
        if self._course.asks_early and group[-1][0] is Verb.DATA:
            yield Act.ASK
        yield from self._answers()

    def _command(self, verb: Verb, line: bytes | None = None, rcpt: int = -1) -> bytes:
        """Give a command, unless the session ended right behind the last answer."""
        self._protocol.check()
        return self._protocol.command(verb, line, rcpt)

    def _answers(self) -> Script[None]:
        yield Act.AWAIT
        self._tally.note(self._protocol.take())
        if self._tally.fault is not None:
            raise self._tally.fault
