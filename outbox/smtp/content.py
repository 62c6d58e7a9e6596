"""The message data as sent: line ends, dot-stuffing, and the extensions that it needs.

A source that is already canonical, as every source of the outbox is, is sent unchanged.
"""

import re
from dataclasses import dataclass

from outbox.mail.envelope import UnsendableError
from outbox.reasons import Reason, ReasonCode

# One server may accept a bare LF or CR as a line end and the next one not, which could smuggle a
# second message after a dot (RFC 5321 2.3.8). Each becomes one CRLF.
_LINE_END = re.compile(rb"\r++\n?|\n")


@dataclass(frozen=True, slots=True)
class Content:
    """Canonical bytes: every line ends in CRLF, including the last."""

    source: bytes
    ascii: bool

    @classmethod
    def of(cls, source: bytes) -> "Content":
        """Return the source in canonical form. Raises UnsendableError where that is impossible."""
        if b"\0" in source:
            raise UnsendableError(Reason(ReasonCode.MESSAGE_NUL))
        pairs = source.count(b"\r\n")
        if source.count(b"\n") != pairs or source.count(b"\r") != pairs:
            source = _LINE_END.sub(_canonical, source)
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


def _canonical(line_end: re.Match[bytes]) -> bytes:
    """Return one CRLF for a line feed and the CRs before it, or one for each CR without."""
    found = line_end[0]
    return b"\r\n" if found.endswith(b"\n") else b"\r\n" * len(found)
