"""What happened at the fault lab, kept in memory: sessions, dialogues, transactions, wrongs.

Written by the lab's thread, read by the test's; a test waits here for what it expects.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from outbox.testing.dialogue import Transaction, shown


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a dialogue."""

    ms: float  # since the session began
    who: str  # "C" client, "S" server, "-" a note
    text: str


@dataclass(slots=True)
class Session:
    """One connection."""

    number: int  # 1 is the first the lab ever had
    opened_at: float  # monotonic seconds
    lines: list[Line] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)  # those that are over
    wrongs: list[str] = field(default_factory=list)  # what no good client does
    over: bool = False

    @property
    def commands(self) -> list[str]:
        """The client's lines, bodies left out."""
        return [line.text for line in self.lines if line.who == "C"]

    def text(self) -> str:
        """Return the dialogue for a person."""
        head = f"session {self.number}{'' if self.over else ' (open)'}"
        lines = (f"{line.ms:9.1f}  {line.who}  {shown(line.text)}" for line in self.lines)
        return "\n".join([head, *lines, *(f"  WRONG: {wrong}" for wrong in self.wrongs)])


class Ledger:
    """All sessions of a lab."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.peak = 0  # most sessions that were open at once
        self.listener: Callable[[Line], None] | None = None  # hears each line as it falls
        self._changed = threading.Condition()

    # What the lab writes

    def open(self) -> Session:
        """Begin a session."""
        with self._changed:
            session = Session(len(self.sessions) + 1, time.monotonic())
            self.sessions.append(session)
            self.peak = max(self.peak, sum(not session.over for session in self.sessions))
            self._changed.notify_all()
        return session

    def note(self, session: Session, who: str, text: str) -> None:
        """Add a line to a dialogue."""
        line = Line(round((time.monotonic() - session.opened_at) * 1000, 1), who, text)
        with self._changed:
            session.lines.append(line)
            self._changed.notify_all()
        if self.listener:
            self.listener(line)

    def end(self, session: Session, transaction: Transaction | None = None) -> None:
        """End a transaction, or else the session."""
        with self._changed:
            if transaction is None:
                session.over = True
            else:
                session.transactions.append(transaction)
            self._changed.notify_all()

    # What a test reads

    @property
    def transactions(self) -> list[Transaction]:
        """Every transaction that is over, in order of its session."""
        return [found for session in self.sessions for found in session.transactions]

    @property
    def accepted(self) -> list[Transaction]:
        """Those the server took charge of, whether or not the client heard so."""
        return [transaction for transaction in self.transactions if transaction.accepted]

    @property
    def commands(self) -> list[str]:
        """The client's lines in all sessions."""
        return [command for session in self.sessions for command in session.commands]

    @property
    def wrongs(self) -> list[str]:
        """What no good client does, and this one did."""
        return [f"{session.number}: {w}" for session in self.sessions for w in session.wrongs]

    def copies(self, message_id: str, recipient: str) -> int:
        """Count how often a message was accepted for a recipient: the copies now in the world."""
        return sum(
            transaction.recipients.count(recipient)
            for transaction in self.accepted
            if transaction.message_id == message_id
        )

    def wait_for(self, condition: Callable[["Ledger"], bool], seconds: float = 30.0) -> None:
        """Wait until a condition holds; raises TimeoutError that shows the dialogue."""
        with self._changed:
            if self._changed.wait_for(lambda: condition(self), seconds):
                return
        raise TimeoutError(f"not within {seconds} s:\n{self.text()}")

    def text(self) -> str:
        """Return all dialogues for a person."""
        return "\n\n".join(session.text() for session in self.sessions)
