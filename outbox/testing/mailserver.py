"""The local mail server of `make run` and of tests: it accepts and stores mail for any address.

It relays nothing. Some addresses simulate failures; the tables below are also the help of
`manage.py outbox_mailserver`.
"""

import itertools
from pathlib import Path
from types import TracebackType
from typing import Self

from outbox.testing.capabilities import Capabilities
from outbox.testing.dialogue import Stage, Transaction
from outbox.testing.ledger_file import Entry, LedgerFile, read_ledger
from outbox.testing.mailboxes import Mailboxes
from outbox.testing.receiver import Receiver
from outbox.testing.serving import serving_in_thread

DIRECTORY = Path(".run/mail")  # the default of both commands, and of `make run`
PORT = 2525
SLOW_AFTER = 10.0  # seconds before the reply to a message for slow*@…

AT_RCPT = {
    "reject": "550 5.1.1 There is no such mailbox here",
    "busy": "451 4.7.1 Too busy for that mailbox, try again later",
    "full": "452 4.2.2 That mailbox is full",
}
AT_DOT = {"refuse-data": "554 5.7.1 This message is not wanted here"}

HELP = "\n".join(
    [
        "Mail for any address is accepted, except for addresses that begin so:",
        *(f"  {word}*@...  {reply} (to RCPT)" for word, reply in AT_RCPT.items()),
        *(f"  {word}*@...  {reply} (to the message)" for word, reply in AT_DOT.items()),
        f"  slow*@...  accepted, with the reply to the message after {SLOW_AFTER:.0f} s",
    ]
)


class MailServer:
    """Mailboxes and a ledger in one directory, and the receivers that fill them."""

    def __init__(
        self,
        directory: Path,
        *,
        capabilities: Capabilities | None = None,
        slow_after: float = SLOW_AFTER,
    ) -> None:
        self.capabilities = capabilities or Capabilities()
        self.slow_after = slow_after
        self.host, self.port = "127.0.0.1", 0
        self.mailboxes = Mailboxes(directory)
        self.ledger = LedgerFile(directory / "ledger.jsonl")
        self._sessions = itertools.count(1)
        self._serving = serving_in_thread(self.receiver)

    def receiver(self) -> Receiver:
        """Return the receiver for one connection."""
        return MailReceiver(self, next(self._sessions))

    def entries(self) -> list[Entry]:
        """Return every transaction in this directory, including those of earlier runs."""
        return read_ledger(self.ledger.path)

    def __enter__(self) -> Self:
        self.port = self._serving.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._serving.__exit__(kind, error, traceback)
        self.ledger.close()


class MailReceiver(Receiver):
    """The connection of one client of the local mail server."""

    def __init__(self, server: MailServer, session: int) -> None:
        super().__init__(server.capabilities)
        self._server = server
        self._session = session

    def judge_recipient(self, address: str) -> str:
        return _reply_for(address, AT_RCPT) or "250 2.1.5 Ok"

    def judge_message(self, transaction: Transaction) -> str:
        for address in transaction.recipients:
            if reply := _reply_for(address, AT_DOT):
                return reply
        try:
            for address in dict.fromkeys(transaction.recipients):
                self._server.mailboxes.deliver(address, transaction.source)
        except OSError as error:
            return f"452 4.3.1 Cannot store it: {error.strerror}"
        return f"250 2.0.0 Ok: queued as {self._session:X}-{self.messages:X}"

    def send_reply(self, stage: Stage, index: int, reply: str) -> str:
        transaction = self.transaction
        if transaction and transaction.dot and any(map(_is_slow, transaction.recipients)):
            self.hold(self._server.slow_after)
        return super().send_reply(stage, index, reply)

    def ended(self, transaction: Transaction) -> None:
        if transaction.tried:
            self._server.ledger.note(self._session, transaction)


def _reply_for(address: str, replies: dict[str, str]) -> str:
    local = address.lower()
    return next((reply for word, reply in replies.items() if local.startswith(word)), "")


def _is_slow(address: str) -> bool:
    return address.lower().startswith("slow")
