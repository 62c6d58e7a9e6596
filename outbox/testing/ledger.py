"""The records of a fault lab, in memory: sessions, dialogues, transactions, protocol violations.

The lab's thread writes them and the test's thread reads them, or waits for what it expects.
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
    speaker: str  # "C" client, "S" server, "-" a note
    text: str


@dataclass(slots=True)
class Session:
    """One connection."""

    number: int  # 1 is the first the lab ever had
    opened_at: float  # monotonic seconds
    lines: list[Line] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)  # the finished ones
    violations: list[str] = field(default_factory=list)  # of the protocol, by the client
    over: bool = False

    @property
    def commands(self) -> list[str]:
        """The client's lines without message data."""
        return [line.text for line in self.lines if line.speaker == "C"]

    def text(self) -> str:
        """Return the dialogue as readable text."""
        head = f"session {self.number}{'' if self.over else ' (open)'}"
        lines = (f"{line.ms:9.1f}  {line.speaker}  {shown(line.text)}" for line in self.lines)
        return "\n".join(
            [head, *lines, *(f"  VIOLATION: {violation}" for violation in self.violations)]
        )


class Ledger:
    """All sessions of a lab."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.peak = 0  # most sessions open at the same time
        self.listener: Callable[[Line], None] | None = None  # called with each new line
        self._changed = threading.Condition()

    # Called by the lab

    def open(self) -> Session:
        """Record a new session."""
        with self._changed:
            session = Session(len(self.sessions) + 1, time.monotonic())
            self.sessions.append(session)
            self.peak = max(self.peak, sum(not session.over for session in self.sessions))
            self._changed.notify_all()
        return session

    def note(self, session: Session, speaker: str, text: str) -> None:
        """Record a line of a dialogue."""
        line = Line(round((time.monotonic() - session.opened_at) * 1000, 1), speaker, text)
        with self._changed:
            session.lines.append(line)
            self._changed.notify_all()
        if self.listener:
            self.listener(line)

    def end(self, session: Session, transaction: Transaction | None = None) -> None:
        """Record the end of a transaction, or of the session."""
        with self._changed:
            if transaction is None:
                session.over = True
            else:
                session.transactions.append(transaction)
            self._changed.notify_all()

    # Read by tests

    @property
    def transactions(self) -> list[Transaction]:
        """Every finished transaction, in order of its session."""
        return [found for session in self.sessions for found in session.transactions]

    @property
    def accepted(self) -> list[Transaction]:
        """The accepted transactions, whether or not the client got the reply."""
        return [transaction for transaction in self.transactions if transaction.accepted]

    @property
    def commands(self) -> list[str]:
        """The client's lines in all sessions."""
        return [command for session in self.sessions for command in session.commands]

    @property
    def violations(self) -> list[str]:
        """Every violation of the protocol by the client."""
        return [
            f"{session.number}: {violation}"
            for session in self.sessions
            for violation in session.violations
        ]

    def copies(self, message_id: str, recipient: str) -> int:
        """Return how often a message was accepted for a recipient."""
        return sum(
            transaction.recipients.count(recipient)
            for transaction in self.accepted
            if transaction.message_id == message_id
        )

    def wait_for(self, condition: Callable[["Ledger"], bool], seconds: float = 30.0) -> None:
        """Wait until a condition holds. Raises TimeoutError with the dialogue."""
        with self._changed:
            if self._changed.wait_for(lambda: condition(self), seconds):
                return
        raise TimeoutError(f"not within {seconds} s:\n{self.text()}")

    def text(self) -> str:
        """Return all dialogues as readable text."""
        return "\n\n".join(session.text() for session in self.sessions)
