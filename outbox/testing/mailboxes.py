"""Mailboxes on disk: one Maildir per address, with the messages byte for byte as received.

The standard library's `mailbox.Maildir` is not used for writing: it turns CRLF into LF and waits
for the disk. A kill of the process leaves no partial message; a power cut may lose some.
"""

import email
import hashlib
import itertools
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from urllib.parse import quote

_MAX_NAME = 150
_counter = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message in a mailbox."""

    number: int  # 1 is the oldest
    path: Path
    received_at: datetime
    size: int

    @property
    def source(self) -> bytes:
        """The bytes as received."""
        return self.path.read_bytes()

    def parsed(self) -> EmailMessage:
        """Return the parsed message."""
        return email.message_from_bytes(self.source, policy=default)


class Mailboxes:
    """The mailboxes in a mail server's directory; they can be read while the server writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory) / "mailboxes"
        self._made: set[str] = set()

    def addresses(self) -> list[str]:
        """Return the addresses that have received a message, sorted."""
        return sorted(path.read_text("utf-8") for path in self.directory.glob("*/address"))

    def messages(self, address: str) -> list[StoredMessage]:
        """Return the messages of an address, oldest first."""
        folder = self.directory / _folder_name(address)
        paths = sorted([*folder.glob("new/*"), *folder.glob("cur/*")], key=lambda path: path.name)
        return [_stored(number, path) for number, path in enumerate(paths, start=1)]

    def deliver(self, address: str, source: bytes) -> Path:
        """Store a message atomically."""
        folder = self.directory / _folder_name(address)
        if folder.name not in self._made:
            _make_maildir(folder, address)
            self._made.add(folder.name)
        name = f"{time.time_ns():020d}.{os.getpid()}_{next(_counter)}.localhost"
        temporary, final = folder / "tmp" / name, folder / "new" / name
        temporary.write_bytes(source)
        temporary.rename(final)
        return final


def _stored(number: int, path: Path) -> StoredMessage:
    received_at = datetime.fromtimestamp(int(path.name.partition(".")[0]) / 1e9, UTC)
    return StoredMessage(
        number=number, path=path, received_at=received_at, size=path.stat().st_size
    )


def _folder_name(address: str) -> str:
    """Return a folder name that is safe and unique for the address; case is folded."""
    folded = address.lower()
    name = quote(folded, safe="@+=,!").replace("~", "%7E")
    if name in {"", ".", ".."}:
        name = "%"
    if len(name) > _MAX_NAME:
        name = name[:_MAX_NAME] + "~" + hashlib.sha256(folded.encode()).hexdigest()[:32]
    return name


def _make_maildir(folder: Path, address: str) -> None:
    for part in ("tmp", "new", "cur"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    label = folder / "tmp" / "address"
    label.write_text(address.lower(), "utf-8")
    label.rename(folder / "address")
