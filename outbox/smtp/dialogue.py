"""The dialogue of one transaction, from MAIL to the reply to the final dot, as a script.

Each transfer mode ends alike for the same replies. Only where the session breaks off can one mode
leave more recipients uncertain than another.
"""

from collections.abc import Iterator

from outbox.smtp.faults import SmtpFault
from outbox.smtp.outcomes import Outcomes
from outbox.smtp.plan import LAST_CHUNK, Plan, TransferMode
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.reply import Reply
from outbox.smtp.script import Action, Script, Stream, Write
from outbox.smtp.transaction import Transaction

GROUP = 16_384  # bytes of commands in flight: well below any send buffer (RFC 2920 3.1)
CHUNK = 1_048_576  # bytes of each BDAT but the last

_Command = tuple[Verb, bytes, int]


class Dialogue:
    """One transaction in progress; `script` fills the given transaction."""

    def __init__(
        self,
        protocol: Protocol,
        plan: Plan,
        mode: TransferMode,
        transaction: Transaction,
        *,
        needs_rset: bool = False,
        reused: bool = False,
    ) -> None:
        self._protocol = protocol
        self._plan = plan
        self._mode = mode
        self._transaction = transaction
        self._needs_rset = needs_rset
        self._outcomes = Outcomes(plan, transaction, pipelined=mode.pipelined, reused=reused)

    @property
    def delivered(self) -> bool:
        """Whether the server accepted the message; if not, RSET has to follow."""
        return self._outcomes.delivered

    @property
    def rejection(self) -> Reply | None:
        """The reply by which an extension was rejected, if MAIL may be repeated without it."""
        may_repeat = self._transaction.fault is None and not self._outcomes.accepted
        rejected = self._outcomes.extension_rejected
        return rejected.reply if rejected and may_repeat else None

    @property
    def extensions_used(self) -> tuple[str, ...]:
        """The extensions whose parameters the rejected command had."""
        rejected = self._outcomes.extension_rejected
        is_mail = rejected is not None and rejected.verb is Verb.MAIL
        return self._plan.mail_extensions if is_mail else self._plan.rcpt_extensions

    @property
    def rejects_null_sender(self) -> bool:
        """Whether MAIL may be repeated with another sender: no recipient is delivered to."""
        outcomes = self._outcomes
        is_accepted = outcomes.delivered if self._transaction.dot_sent else outcomes.accepted
        has_failed = self._transaction.fault is not None
        return outcomes.null_sender_rejected and not is_accepted and not has_failed

    @property
    def has_recipients(self) -> bool:
        """Whether the server accepted a recipient."""
        return bool(self._outcomes.accepted)

    def script(self) -> Script[None]:
        """Run the transaction to its end. A fault is recorded, not raised."""
        try:
            if self._mode.single_write:
                yield from self._single_write()
            else:
                yield from self._envelope()
                yield from self._content()
        except SmtpFault as fault:
            self._outcomes.record(self._protocol.take_replies())
            self._outcomes.record_fault(fault)
        self._outcomes.conclude()

    def _single_write(self) -> Script[None]:
        """Send the message with the envelope: the server discards it for rejected recipients."""
        yield Action.REQUEST_DOT
        yield Action.PERMIT_DOT
        *groups, final = self._groups(self._envelope_commands())
        for group in groups:
            yield from self._group(group)
            if self._outcomes.mail_refused:
                return
        for verb, line, rcpt in final:
            yield Write(self._command(verb, line, rcpt))
        yield from self._last_chunk(self._plan.content.source)

    def _envelope(self) -> Script[None]:
        for group in self._groups(self._envelope_commands()):
            yield from self._group(group)
            if self._outcomes.mail_refused:
                return

    def _content(self) -> Script[None]:
        if not self._outcomes.accepted:
            if self._outcomes.go_ahead:
                # The server expects a body although it rejected every recipient (RFC 2920 3.1).
                yield Write(self._command(Verb.DOT))
                yield Action.AWAIT_REPLIES
                self._protocol.take_replies()
        elif self._mode.chunked:
            yield from self._chunks()
        else:
            if not self._mode.pipelined:
                yield from self._group([(Verb.DATA, b"DATA", -1)])
            if self._outcomes.go_ahead:
                yield Action.REQUEST_DOT
                yield from self._body()

    def _body(self) -> Script[None]:
        yield Stream(self._plan.content.stuffed())
        yield Action.PERMIT_DOT
        self._transaction.dot_sent = True
        yield Write(self._protocol.command(Verb.DOT))
        yield from self._replies()

    def _chunks(self) -> Script[None]:
        source = self._plan.content.source
        yield Action.REQUEST_DOT
        rest = max(0, len(source) - LAST_CHUNK)
        for start in range(0, rest, CHUNK):
            chunk = source[start : min(start + CHUNK, rest)]
            yield Write(self._command(Verb.BDAT, b"BDAT %d" % len(chunk)))
            yield Stream(chunk)
            yield from self._replies()
            if self._outcomes.content_refused:
                return
        yield Action.PERMIT_DOT
        yield from self._last_chunk(source[rest:])

    def _last_chunk(self, chunk: bytes) -> Script[None]:
        self._transaction.dot_sent = True
        yield Write(self._protocol.command(Verb.LAST, b"BDAT %d LAST" % len(chunk)))
        yield Stream(chunk)
        yield from self._replies()

    def _envelope_commands(self) -> Iterator[_Command]:
        if self._needs_rset:
            yield Verb.RSET, b"RSET", -1
        yield Verb.MAIL, self._plan.mail, -1
        for number, rcpt in enumerate(self._plan.rcpts):
            yield Verb.RCPT, rcpt.line, number
        if self._mode.pipelined and not self._mode.chunked:
            yield Verb.DATA, b"DATA", -1

    def _groups(self, commands: Iterator[_Command]) -> Iterator[list[_Command]]:
        """Split the commands into groups of one write: one by one without PIPELINING."""
        limit = GROUP if self._mode.pipelined else 0
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
        if self._mode.requests_dot_early and group[-1][0] is Verb.DATA:
            yield Action.REQUEST_DOT
        yield from self._replies()

    def _command(self, verb: Verb, line: bytes | None = None, rcpt: int = -1) -> bytes:
        """Return the bytes of a command. Raises SmtpFault if the session has ended."""
        self._protocol.check()
        return self._protocol.command(verb, line, rcpt)

    def _replies(self) -> Script[None]:
        yield Action.AWAIT_REPLIES
        self._outcomes.record(self._protocol.take_replies())
        if self._outcomes.fault is not None:
            raise self._outcomes.fault
