"""A server's transactions as JSON lines on disk, each written before the client gets the reply.

A line survives any kill of the server's process (it is one write to the kernel), not a power cut.
"""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from outbox.testing.dialogue import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transaction."""

    at: float  # seconds since 1970
    session: int  # counted by the server's process
    message_id: str
    sender: str
    accepted: list[str]  # recipients
    refused: dict[str, str]  # recipient → reply
    sha256: str  # of the bytes received, without dot-stuffing; "" if none came
    size: int
    reply: str  # to the final dot; "" if it never came


class LedgerFile:
    """An append-only file of entries."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, session: int, transaction: Transaction) -> None:
        """Append a transaction."""
        source = transaction.source
        entry = Entry(
            at=time.time(),
            session=session,
            message_id=transaction.message_id,
            sender=transaction.sender,
            accepted=transaction.recipients,
            refused=transaction.refused,
            sha256=hashlib.sha256(source).hexdigest() if transaction.dot else "",
            size=len(source),
            reply=transaction.reply,
        )
        os.write(self._file, json.dumps(asdict(entry)).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_ledger(path: Path) -> list[Entry]:
    """Return every complete entry of a ledger."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [Entry(**json.loads(line)) for line in lines]
