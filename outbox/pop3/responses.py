"""Responses of a POP3 server, parsed from bytes in any portions (RFC 1939 3, RFC 2449 8).

No byte is trusted. The lines of a response and of a listing are limited; the lines of a message are
not, since real ones have a megabyte. A message is passed on in pieces, so that its size needs no
memory here.
"""

import re
from typing import NamedTuple

LINE_MAX = 16_384  # bytes of a status line; RFC 2449 4 allows 512
LISTED_LINE_MAX = 1_024  # bytes of a line in a listing; RFC 2449 4 allows 512
TEXT_KEPT = 1_000  # characters of a status line's text
EMPTY_MAX = 100  # empty lines before a status line

_STATUS = re.compile(rb"(\+OK|-ERR|\+)(?=[ \t\r]|$|\[)[ \t]?", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Za-z0-9/_-]{1,40}(?: [A-Za-z0-9/_-]{1,40})?)\]\s?")
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


class ProtocolError(Exception):
    """The input is not a POP3 response."""


class Status(NamedTuple):
    """A status line: `+OK`, `-ERR`, or `+` with a challenge."""

    mark: str
    code: str  # extended response code without brackets, in upper case
    text: str  # safe to show

    @property
    def is_ok(self) -> bool:
        """Whether the command succeeded."""
        return self.mark == "+OK"

    @property
    def is_challenge(self) -> bool:
        """Whether the server waits for a response within a login."""
        return self.mark == "+"


def parse_status(line: bytes) -> Status:
    """Return a status line. Raise ProtocolError if it is not one."""
    match = _STATUS.match(line)
    if match is None:
        raise ProtocolError(f"not a POP3 response: {safe(line[:200])}")
    text = safe(line[match.end() :]).strip()
    code = _CODE.match(text)
    named = code[1].upper() if code else ""
    return Status(match[1].decode().upper(), named, text)


def safe(line: bytes) -> str:
    """Return a line as text in which control characters are visible."""
    text = line.decode("utf-8", "replace")[:TEXT_KEPT]
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class LineReader:
    """Splits received bytes into lines that end with LF or CRLF."""

    def __init__(self, longest: int = LINE_MAX) -> None:
        self._longest = longest  # bytes of a line, without its end
        self._buffer = bytearray()
        self._searched = 0  # up to here there is no line end
        self.ended_bare = False  # whether the last line ended with LF only

    @property
    def pending(self) -> bool:
        """Whether bytes have not been read."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    def line(self) -> bytes | None:
        """Return the next line without its end; None if it is incomplete. Raise ProtocolError."""
        end = self._buffer.find(b"\n", self._searched)
        if end > self._longest or (end < 0 and len(self._buffer) > self._longest):
            raise ProtocolError(f"a line of more than {self._longest:,} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        found = bytes(self._buffer[:end])
        self.ended_bare = not found.endswith(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        return found.removesuffix(b"\r")

    def take(self) -> bytes:
        """Return all bytes that have not been read, and forget them."""
        found = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return found

    def put_back(self, data: bytes) -> None:
        """Insert bytes before those that have not been read."""
        self._buffer[:0] = data
        self._searched = 0


class BodyReader:
    """Removes the byte-stuffing of a multi-line response, in any portions, and finds its end.

    A body ends with a line that has only a dot (RFC 1939 3). Lines of any length pass through.
    `ends_bare`: that line may end with LF only. A message may contain such a line, which a server
    with CRLF does not stuff.
    """

    def __init__(self, *, ends_bare: bool) -> None:
        self._ends = (b".\r\n", b".\n") if ends_bare else b".\r\n"
        self._held = b""  # bytes at the start of a line that need more bytes to be understood
        self._at_start = True

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return the bytes of the body, and those after its end, or None if it has not ended."""
        data = self._held + data
        self._held = b""
        pieces: list[bytes] = []
        position = 0
        while position < len(data):
            if self._at_start and data[position] == _DOT:
                rest = data[position : position + 3]
                if rest.startswith(self._ends):
                    after = position + (2 if rest.startswith(b".\n") else 3)
                    return b"".join(pieces), data[after:]
                if _may_end(rest):
                    self._held = data[position:]
                    break
                position += 1  # a stuffed dot, or one that the server forgot to stuff
                if data[position : position + 1] != b".":
                    pieces.append(b".")
            at = data.find(b"\n.", position)
            end = at + 1 if at >= 0 else len(data)
            pieces.append(data[position:end])
            self._at_start = data[end - 1] == _LF
            position = end
        return b"".join(pieces), None


_DOT, _LF = b".\n"


def _may_end(rest: bytes) -> bool:
    """Return whether more bytes are needed to know whether a line that starts with a dot ends."""
    return rest in {b".", b".\r"}
