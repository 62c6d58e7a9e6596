"""A correct SMTP server without I/O, with the replies that a test chooses, and its client.

`tests.smtp_replies` explains the replies. CLOSES as a reply, or after one, closes the connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.reasons import Reason, ReasonCode
from outbox.smtp import Envelope, Security, Server, Transaction
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.extensions import Extensions
from outbox.smtp.fallback import Plans
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.plan import choose_transfer_mode
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.script import Action, Step, Stream, Write
from outbox.smtp.transaction import Disposition, RecipientOutcome
from tests.smtp_replies import ScriptedReplies
from tests.unit.smtp.script_runner import CLOSES, run

SERVER = Server(host="model.test", port=25, security=Security.NONE)
SOURCE = b"Subject: hello\r\n\r\none\r\n"
ALICE, BOB, CAROL = "alice@x.test", "bob@y.test", "carol@z.test"

# The modes a transaction can take, by the server's extensions.
MODES = {
    "step by step": ("SIZE", "8BITMIME", "SMTPUTF8"),
    "pipelined": ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING"),
    "chunks": ("SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING"),
    "single write": ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING"),
}

Replies = Mapping[str, str | Sequence[str]]


@dataclass
class ModelServer:
    replies: Replies = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    closed: bool = False
    _received: bytes = b""
    _in_body: bool = False
    _chunk: int = -1
    _body: bytes = b""
    _recipients: int = 0
    _replies: ScriptedReplies[str] = field(init=False)

    def __post_init__(self) -> None:
        self._replies = ScriptedReplies(self.replies)

    def receive(self, data: bytes) -> bytes:
        """Return the replies to the bytes of the client."""
        self._received += data
        sent = b""
        while not self.closed and (reply := self._next()) is not None:
            text, closes, _ = reply.partition(CLOSES)
            sent += f"{text}\r\n".encode() if text else b""
            self.closed = bool(closes)
        return sent

    def _next(self) -> str | None:
        if self._in_body:
            return self._take_body()
        if self._chunk >= 0:
            return self._take_chunk()
        line, found, rest = self._received.partition(b"\r\n")
        if not found:
            return None
        self._received = rest
        return self._execute(line.decode())

    def _execute(self, command: str) -> str | None:
        self.commands.append(command)
        verb = command.split(" ", maxsplit=1)[0]
        if verb == "BDAT":
            self._chunk = int(command.split(" ")[1])
            return self._next()
        if verb in {"MAIL", "RSET"}:
            self._recipients, self._body = 0, b""
        if verb == "DATA" and not self._recipients and "DATA" not in self.replies:
            return "503 5.5.1 no valid recipients"
        reply = self._replies.next(verb)
        self._recipients += verb == "RCPT" and reply.startswith("2")
        self._in_body = verb == "DATA" and reply.startswith("354")
        return reply

    def _take_body(self) -> str | None:
        # The CRLF after DATA is also the one before the dot of an empty body.
        body, found, rest = (b"\r\n" + self._received).partition(b"\r\n.\r\n")
        if not found:
            return None
        self._received, self._in_body = rest, False
        self.commands.append(".")
        self.messages.append((body + b"\r\n").replace(b"\r\n.", b"\r\n")[2:])
        return self._replies.next("DOT")

    def _take_chunk(self) -> str | None:
        if len(self._received) < self._chunk:
            return None
        self._body += self._received[: self._chunk]
        self._received, self._chunk = self._received[self._chunk :], -1
        if not self._recipients:
            return "503 5.5.1 no valid recipients"
        if not self.commands[-1].endswith("LAST"):
            return self._replies.next("BDAT")
        self.messages.append(self._body)
        return self._replies.next("DOT")


@dataclass
class Client:
    """Run transactions with a model server; `split` is the length of pieces of input."""

    server: ModelServer
    extensions: Sequence[str]
    permits: bool = True
    split: int = 1 << 20
    protocol: Protocol = field(default_factory=Protocol)
    steps: list[str] = field(default_factory=list)
    needs_rset: bool = False
    proven: bool = True
    _incoming: bytes = b""

    def __post_init__(self) -> None:
        self.protocol.receive(b"220 model\r\n")
        self.protocol.command(Verb.EHLO)
        lines = ["model", *self.extensions]
        welcome = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        self.protocol.receive("".join(f"{line}\r\n" for line in welcome).encode())
        self.protocol.take_replies()

    def send(self, *recipients: str, sender: str = ALICE, source: bytes = SOURCE) -> Transaction:
        return self.send_envelope(Envelope(sender=sender, recipients=recipients), source)

    def send_envelope(self, envelope: Envelope, source: bytes = SOURCE) -> Transaction:
        transaction = Transaction([RecipientOutcome(name) for name in envelope.recipients])
        plans = Plans(self.protocol.extensions, envelope, source, transaction)
        plan = plans.first()
        while plan is not None:
            size = len(plan.content.source)
            mode = choose_transfer_mode(
                SERVER, self.protocol.extensions, size, proven=self.proven and not self.needs_rset
            )
            dialogue = Dialogue(self.protocol, plan, mode, transaction, needs_rset=self.needs_rset)
            run(dialogue.script(), self._perform)
            self.needs_rset = not dialogue.delivered
            plan = plans.after(dialogue)
        return transaction

    def _perform(self, step: Step) -> None:
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.steps.append("write" if isinstance(step, Write) else "stream")
            self._incoming += self.server.receive(step.data)
            return
        self.steps.append(step.name.lower())
        if step is Action.PERMIT_DOT:
            self._deliver()  # an early reply arrives while the body is sent
            self.protocol.check()
            if not self.permits:
                raise SmtpFault(Phase.BODY, FaultKind.ABANDONED, Reason(ReasonCode.WITHDRAWN))
        elif step is Action.AWAIT_REPLIES:
            self._deliver()
            self.protocol.check_replies()
            assert self.protocol.awaited is None, f"{self.protocol.awaited} got no reply"

    def _deliver(self) -> None:
        for start in range(0, len(self._incoming), self.split):
            self.protocol.receive(self._incoming[start : start + self.split])
        self._incoming = b""
        if self.server.closed and self.protocol.awaited is not None:
            self.protocol.end(FaultKind.CLOSED, Reason(ReasonCode.CLOSED_BY_SERVER))


def extensions(*lines: str) -> Extensions:
    client = Client(ModelServer(), lines)
    return client.protocol.extensions


def outcomes(transaction: Transaction) -> list[tuple[str, Disposition, int]]:
    """Return (command, disposition, code) of each recipient, code 0 without a reply."""
    return [
        (outcome.command, outcome.disposition, outcome.reply.code if outcome.reply else 0)
        for outcome in transaction.recipients
    ]
