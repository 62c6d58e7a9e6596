"""A correct SMTP server without I/O, whose replies a test may choose, and transactions with it.

`replies={"RCPT": ["250 ok", "550 no"]}` answers the first RCPT with the first entry, and so on; the
last entry stays. CLOSES as a reply, or behind one, hangs up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.smtp import Envelope, Security, Server, Transaction
from outbox.smtp.course import choose_course
from outbox.smtp.dialogue import Dialogue
from outbox.smtp.extensions import Extensions
from outbox.smtp.faults import FaultKind, Phase, SmtpFault
from outbox.smtp.plan import make_plan
from outbox.smtp.protocol import Protocol, Verb
from outbox.smtp.steps import Act, Step, Stream, Write
from outbox.smtp.transaction import Disposition, RecipientOutcome
from tests.unit.smtp.playing import CLOSES, run

SERVER = Server(host="model.test", port=25, security=Security.NONE)
SOURCE = b"Subject: hello\r\n\r\none\r\n"
ALICE, BOB, CAROL = "alice@x.test", "bob@y.test", "carol@z.test"

# The courses a transaction can take, by what the server offers.
COURSES = {
    "step by step": ("SIZE", "8BITMIME", "SMTPUTF8"),
    "pipelined": ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING"),
    "chunks": ("SIZE", "8BITMIME", "SMTPUTF8", "CHUNKING"),
    "all at once": ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING"),
}

Replies = Mapping[str, str | Sequence[str]]

_CORRECT = {
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    "DOT": "250 2.0.0 Ok: queued as 4MODEL",
    "BDAT": "250 2.0.0 ok",
    "RSET": "250 2.0.0 ok",
}


@dataclass
class ModelServer:
    replies: Replies = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    closed: bool = False
    _heard: bytes = b""
    _in_body: bool = False
    _chunk: int = -1
    _body: bytes = b""
    _recipients: int = 0
    _used: dict[str, int] = field(default_factory=dict)

    def hear(self, data: bytes) -> bytes:
        """Take what the client wrote; give what the server says to it."""
        self._heard += data
        said = b""
        while not self.closed and (reply := self._next()) is not None:
            text, closes, _ = reply.partition(CLOSES)
            said += f"{text}\r\n".encode() if text else b""
            self.closed = bool(closes)
        return said

    def _next(self) -> str | None:
        if self._in_body:
            return self._take_body()
        if self._chunk >= 0:
            return self._take_chunk()
        line, found, rest = self._heard.partition(b"\r\n")
        if not found:
            return None
        self._heard = rest
        return self._obey(line.decode())

    def _obey(self, command: str) -> str | None:
        self.commands.append(command)
        verb = command.split(" ", maxsplit=1)[0]
        if verb == "BDAT":
            self._chunk = int(command.split(" ")[1])
            return self._next()
        if verb in {"MAIL", "RSET"}:
            self._recipients, self._body = 0, b""
        if verb == "DATA" and not self._recipients and "DATA" not in self.replies:
            return "503 5.5.1 no valid recipients"
        reply = self._reply(verb)
        self._recipients += verb == "RCPT" and reply.startswith("2")
        self._in_body = verb == "DATA" and reply.startswith("354")
        return reply

    def _take_body(self) -> str | None:
        # The CRLF behind DATA is also the one before the dot of an empty body.
        body, found, rest = (b"\r\n" + self._heard).partition(b"\r\n.\r\n")
        if not found:
            return None
        self._heard, self._in_body = rest, False
        self.commands.append(".")
        self.mails.append((body + b"\r\n").replace(b"\r\n.", b"\r\n")[2:])
        return self._reply("DOT")

    def _take_chunk(self) -> str | None:
        if len(self._heard) < self._chunk:
            return None
        self._body += self._heard[: self._chunk]
        self._heard, self._chunk = self._heard[self._chunk :], -1
        if not self._recipients:
            return "503 5.5.1 no valid recipients"
        if not self.commands[-1].endswith("LAST"):
            return self._reply("BDAT")
        self.mails.append(self._body)
        return self._reply("DOT")

    def _reply(self, name: str) -> str:
        given = self.replies.get(name, _CORRECT.get(name, "250 ok"))
        if isinstance(given, str):
            return given
        used = self._used.get(name, 0)
        self._used[name] = used + 1
        return given[min(used, len(given) - 1)]


@dataclass
class Client:
    """Carries transactions to a model server; `split` cuts what comes in into pieces so long."""

    server: ModelServer
    offers: Sequence[str]
    consents: bool = True
    split: int = 1 << 20
    protocol: Protocol = field(default_factory=Protocol)
    steps: list[str] = field(default_factory=list)
    needs_rset: bool = False
    proven: bool = True
    _incoming: bytes = b""

    def __post_init__(self) -> None:
        self.protocol.receive(b"220 model\r\n")
        self.protocol.command(Verb.EHLO)
        lines = ["model", *self.offers]
        welcome = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        self.protocol.receive("".join(f"{line}\r\n" for line in welcome).encode())
        self.protocol.take()

    def send(self, *recipients: str, sender: str = ALICE, source: bytes = SOURCE) -> Transaction:
        return self.send_envelope(Envelope(sender=sender, recipients=recipients), source)

    def send_envelope(self, envelope: Envelope, source: bytes = SOURCE) -> Transaction:
        transaction = Transaction([RecipientOutcome(name) for name in envelope.recipients])
        plan = make_plan(self.protocol.extensions, envelope, source, transaction)
        if plan is not None:
            size = len(plan.content.source)
            course = choose_course(
                SERVER, self.protocol.extensions, size, proven=self.proven and not self.needs_rset
            )
            dialogue = Dialogue(
                self.protocol, plan, course, transaction, needs_rset=self.needs_rset
            )
            run(dialogue.script(), self._perform)
            self.needs_rset = not dialogue.delivered
        return transaction

    def _perform(self, step: Step) -> None:
        if isinstance(step, Write | Stream):
            self.protocol.check()
            self.steps.append("write" if isinstance(step, Write) else "stream")
            self._incoming += self.server.hear(step.data)
            return
        self.steps.append(step.name.lower())
        if step is Act.CONSENT:
            self._hear()  # an early reply comes while the body leaves
            self.protocol.check()
            if not self.consents:
                raise SmtpFault(Phase.BODY, FaultKind.ABANDONED, "withdrawn")
        elif step is Act.AWAIT:
            self._hear()
            self.protocol.check_answers()
            assert self.protocol.awaited is None, f"{self.protocol.awaited} was never answered"

    def _hear(self) -> None:
        for start in range(0, len(self._incoming), self.split):
            self.protocol.receive(self._incoming[start : start + self.split])
        self._incoming = b""
        if self.server.closed and self.protocol.awaited is not None:
            self.protocol.end(FaultKind.CLOSED, "the server closed the connection")


def extensions(*offers: str) -> Extensions:
    client = Client(ModelServer(), offers)
    return client.protocol.extensions


def told(transaction: Transaction) -> list[tuple[str, Disposition, int]]:
    """Give (command, disposition, code) of each recipient, code 0 where none came."""
    return [
        (outcome.command, outcome.disposition, outcome.reply.code if outcome.reply else 0)
        for outcome in transaction.recipients
    ]
