"""The server's replies, read from bytes in any portions (RFC 5321 4.2, RFC 3463).

Distrusts every byte: lines, number of lines and total are bounded, control and bidirectional
characters become visible escapes, and whatever is no reply raises `ProtocolError`.
What a reply means for a mail is not decided here.
"""
# ruff: noqa: PLR2004 - the classes of reply codes are plainest as numbers

import re
from dataclasses import dataclass
from functools import lru_cache

# Codes that mean the same wherever they come.
SHUTDOWN = 421  # RFC 5321 3.8
BAD_SEQUENCE = 503
WANTS_LOGIN = frozenset({530, 538})  # RFC 4954 6, RFC 3207 4

LINE_KEPT = 2_048  # bytes of one line kept; 512 is the rule, real servers exceed it
LINE_MAX = 65_536  # a line longer than this is no line
LINES_KEPT = 100  # lines of one reply kept
LINES_MAX = 1_000  # a reply longer than this is no reply

_CUT_LINE = " [cut at 2,048 bytes]"
_CUT_LINES = "[cut after 100 lines]"
# C0 (but tab), DEL, C1, bidirectional controls, and what ends a line in a browser.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?=\s|$)")


class ProtocolError(Exception):
    """What came in is no SMTP reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply: `text` is what stood behind code and separator, lines joined by LF."""

    code: int
    enhanced: str  # "4.7.1", or "" where there is none or its class is not the code's
    text: str

    @property
    def accepted(self) -> bool:
        return self.code // 100 == 2

    @property
    def intermediate(self) -> bool:
        return self.code // 100 == 3

    @property
    def transient(self) -> bool:
        return self.code // 100 == 4

    @property
    def permanent(self) -> bool:
        return self.code // 100 == 5

    def __str__(self) -> str:
        """The reply as it stood on the wire, LF between lines."""
        *first, last = self.text.split("\n")
        return "\n".join([*(f"{self.code}-{line}" for line in first), f"{self.code} {last}"])


class ReplyParser:
    """Cut a stream of bytes into replies, LF or CRLF between lines."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0  # where the line being read begins
        self._searched = 0  # up to where no line end was found
        self._code = b""  # of a multi-line reply under way
        self._lines: list[str] = []
        self._count = 0

    @property
    def pending(self) -> bool:
        """Whether bytes lie here that do not make a whole reply yet."""
        return self._start < len(self._buffer) or bool(self._code)

    def feed(self, data: bytes) -> None:
        """Add what came in; `next` reads it."""
        rest = self._buffer[self._start :]
        self._buffer = rest + data if rest else data
        self._searched -= self._start
        self._start = 0

    def next(self) -> Reply | None:
        """Take the next whole reply, None when more bytes are needed. Raises ProtocolError."""
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = self._buffer[self._start : end].removesuffix(b"\r")
            self._start = self._searched = end + 1
            reply = self._take(line)
            if reply is not None:
                return reply
        self._searched = len(self._buffer)
        if self._searched - self._start > LINE_MAX:
            raise ProtocolError(f"the server sent a line of more than {LINE_MAX:,} bytes")
        return None

    def _take(self, line: bytes) -> Reply | None:
        separator = line[3:4]
        if not self._code and separator != b"-":
            return _single(line) if len(line) <= LINE_KEPT else _read_single(line)
        code = _code(line)
        if self._code and line[:3] != self._code:
            raise ProtocolError(
                f"one reply of the server has two codes, {self._code.decode()} and {code}"
            )
        self._count += 1
        if self._count > LINES_MAX:
            raise ProtocolError(f"the server sent a reply of more than {LINES_MAX:,} lines")
        if self._count <= LINES_KEPT:
            self._lines.append(_text(line))
        if separator == b"-":
            self._code = line[:3]
            return None
        return self._finish(code)

    def _finish(self, code: int) -> Reply:
        if self._count > LINES_KEPT:
            self._lines.append(_CUT_LINES)
        text = "\n".join(self._lines)
        self._code, self._lines, self._count = b"", [], 0
        return Reply(code, _enhanced(code, text), text)


def _read_single(line: bytes) -> Reply:
    code = _code(line)
    text = _text(line)
    return Reply(code, _enhanced(code, text), text)


# A warm session hears "250 2.1.0 Ok" a thousand times; only the dot's replies differ.
_single = lru_cache(maxsize=256)(_read_single)


def _code(line: bytes) -> int:
    digits = line[:3]
    if len(digits) < 3 or not digits.isdigit() or line[3:4] not in {b"", b" ", b"-"}:
        raise ProtocolError(f"the server sent “{escape(line[:80])}”, which is no SMTP reply")
    code = int(digits)
    if not 100 <= code < 600:
        raise ProtocolError(f"the server sent the code {code:03}, which SMTP does not have")
    return code


def _text(line: bytes) -> str:
    if len(line) <= LINE_KEPT:
        return escape(line[4:])
    return escape(line[4:LINE_KEPT]) + _CUT_LINE


def _enhanced(code: int, text: str) -> str:
    """The enhanced status code, only at the very start and only of the code's class."""
    found = _ENHANCED.match(text)
    return found[0] if found and int(found[1]) == code // 100 else ""


def escape(raw: bytes) -> str:
    """Make bytes of the wire safe to store and to show."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
