"""The message on its way to the wire: line ends, dots, what it asks of a server.

A source that is already canonical (as every mail of the outbox is) is passed on untouched.
"""

import re
from dataclasses import dataclass

from outbox.smtp.envelope import UnsendableError

# A bare LF or CR could be taken for a line end by one server and not by the next, and so smuggle
# a second mail behind a dot (RFC 5321 2.3.8); each becomes one CRLF.
_LINE_END = re.compile(rb"\r*\n|\r")


@dataclass(frozen=True, slots=True)
class Content:
    """Canonical bytes: each line ends in CRLF, the last one too."""

    source: bytes
    ascii: bool

    @classmethod
    def of(cls, source: bytes) -> "Content":
        """Make the source canonical. Raises UnsendableError where that is impossible."""
        if b"\0" in source:
            raise UnsendableError("5.6.0 the message holds a NUL byte, which SMTP cannot carry")
        pairs = source.count(b"\r\n")
        if source.count(b"\n") != pairs or source.count(b"\r") != pairs:
            source = _LINE_END.sub(b"\r\n", source)
        if source and not source.endswith(b"\r\n"):
            source += b"\r\n"
        return cls(source, source.isascii())

    @property
    def head_is_ascii(self) -> bool:
        return self.ascii or self.source.partition(b"\r\n\r\n")[0].isascii()

    def stuffed(self) -> bytes:
        """Double each dot at the beginning of a line (RFC 5321 4.5.2)."""
        stuffed = self.source.replace(b"\r\n.", b"\r\n..")
        return b"." + stuffed if stuffed.startswith(b".") else stuffed
