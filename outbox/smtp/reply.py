"""Server replies, parsed from bytes in any portions (RFC 5321 4.2, RFC 3463).

No byte is trusted: lines and their number are limited, control and bidirectional characters become
visible escapes, and an invalid reply raises `ProtocolError`. Replies that deviate from the RFC are
read where their meaning is certain: a code without a separator, and a line without a code within a
reply of several lines. What a reply means for a message is not decided here.
"""
# ruff: noqa: PLR2004 - classes of reply codes are clearest as numbers

import re
from dataclasses import dataclass, field
from functools import lru_cache

from outbox.reasons import Reason, ReasonCode

SHUTDOWN = 421  # with the same meaning after every command (RFC 5321 3.8)

LINE_KEPT = 2_048  # bytes kept of one line; RFC 5321 allows 512, real servers exceed it
LINE_MAX = 65_536  # a longer line is a protocol error
LINES_KEPT = 100  # lines kept of one reply
LINES_MAX = 1_000  # a longer reply is a protocol error
REPLY_KEPT = 4_096  # bytes of text kept of one reply, whose escapes take more than what arrived
WHOLE_MAX = 65_536  # characters kept of a reply that has to be read as a whole
QUOTED = 500  # characters of a reply that a reason quotes

CUT_LINE = " [cut at 2,048 bytes]"
_CUT_LINES = "[cut after 100 lines]"
_CUT_REPLY = " [cut at 4,096 bytes]"
# C0 (except tab), DEL, C1, bidirectional controls, and line separators of browsers.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
# At the start of a line (RFC 2034 4). Some servers write "#5.1.1", "(#5.1.1)" or "5.1.1:",
# several blanks before it, or none after it.
_ENHANCED = re.compile(
    r"^[ \t]{0,20}[#(<\[]{0,2}([245])\.(\d{1,3}\.\d{1,3})(?=[\sA-Z:;,)>\]]|\.?$)",
    re.ASCII | re.MULTILINE,
)
_SEPARATORS = frozenset({b" ", b"-", b"\t"})
_CODE = 3  # digits


class ProtocolError(Exception):
    """The input is not an SMTP reply."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply: `text` is the text after code and separator, lines joined by LF."""

    code: int
    enhanced: str  # "4.7.1"; "" if there is none of the code's class
    text: str
    whole: str = field(default="", repr=False, compare=False)  # if `text` was cut and this is kept

    @property
    def full_text(self) -> str:
        """The text that is not cut, of a reply that has to be read as a whole."""
        return self.whole or self.text

    @property
    def detail(self) -> str:
        """The enhanced code without its class, which may differ from the code's: "7.1"; or ""."""
        if self.enhanced:
            return self.enhanced[2:]
        found = _ENHANCED.search(self.text)
        return found[2] if found else ""

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

    @property
    def quoted(self) -> str:
        """The beginning of the reply, for a reason that quotes it."""
        return str(self)[:QUOTED]

    def __str__(self) -> str:
        """Return the reply as received, with LF between lines."""
        *first, last = self.text.split("\n")
        return "\n".join([*(f"{self.code}-{line}" for line in first), f"{self.code} {last}"])


class ReplyParser:
    """Split a stream of bytes into replies; lines end with LF or CRLF.

    With `keeps_whole`, the next replies also have the text that is otherwise cut.
    """

    def __init__(self) -> None:
        self.keeps_whole = False
        self._buffer = b""
        self._start = 0  # of the current line
        self._searched = 0  # up to here there is no line end
        self._code = b""  # of an incomplete multi-line reply
        self._lines: list[str] = []
        self._count = 0
        self._size = 0  # characters of `_lines`
        self._whole: list[str] = []
        self._whole_size = 0  # characters of `_whole`
        self._empty = 0  # lines without a byte

    @property
    def pending(self) -> bool:
        """Whether there is an incomplete reply."""
        return self._start < len(self._buffer) or bool(self._code)

    def feed(self, data: bytes) -> None:
        """Append received bytes for `next`."""
        rest = self._buffer[self._start :]
        self._buffer = rest + data if rest else data
        self._searched -= self._start
        self._start = 0

    def next(self) -> Reply | None:
        """Return the next complete reply; None if more bytes are needed. Raises ProtocolError."""
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = self._buffer[self._start : end].rstrip(b"\r")
            self._start = self._searched = end + 1
            if not line:
                self._skip_empty_line()
            elif (reply := self._take(line)) is not None:
                return reply
        self._searched = len(self._buffer)
        if self._searched - self._start > LINE_MAX:
            raise ProtocolError(Reason(ReasonCode.REPLY_LINE_TOO_LONG, count=LINE_MAX))
        return None

    def _skip_empty_line(self) -> None:
        """Ignore a line without a code: replies and commands still match. Their number counts."""
        self._empty += 1
        if self._empty > LINES_MAX:
            raise ProtocolError(Reason(ReasonCode.REPLY_TOO_LONG, count=LINES_MAX))

    def _take(self, line: bytes) -> Reply | None:
        if not self._code and line[3:4] != b"-":
            if len(line) <= LINE_KEPT:
                return _single(line)
            return _read_single(line, keeps_whole=self.keeps_whole)
        if self._code and not (len(line) >= _CODE and line[:_CODE].isdigit()):
            # A line that lost its code, or was broken in two. The last line has a code.
            self._append(line, start=0)
            return None
        code = _code(line)
        if self._code and line[:1] != self._code[:1]:
            first, second = self._code.decode(), str(code)
            raise ProtocolError(Reason(ReasonCode.REPLY_CODES_DIFFER, first=first, second=second))
        self._append(line, start=_start_of_text(line))
        if line[3:4] == b"-":
            self._code = line[:3]
            return None
        # Of two codes of one class, the last line's counts: it ends the reply (RFC 5321 4.2.1).
        return self._finish(code)

    def _append(self, line: bytes, start: int) -> None:
        self._count += 1
        if self._count > LINES_MAX:
            raise ProtocolError(Reason(ReasonCode.REPLY_TOO_LONG, count=LINES_MAX))
        if self._count <= LINES_KEPT and self._size <= REPLY_KEPT:
            self._lines.append(_text(line, start))
            self._size += len(self._lines[-1]) + 1
        if self.keeps_whole and self._whole_size <= WHOLE_MAX:
            self._whole.append(escape(line[start:]))
            self._whole_size += len(self._whole[-1]) + 1

    def _finish(self, code: int) -> Reply:
        if self._count > LINES_KEPT and self._size <= REPLY_KEPT:
            self._lines.append(_CUT_LINES)
        text = _bounded("\n".join(self._lines))
        whole = "\n".join(self._whole)
        self._code, self._lines, self._count, self._size = b"", [], 0, 0
        self._whole, self._whole_size = [], 0
        return Reply(code, _enhanced(code, text), text, whole if whole != text else "")


def _read_single(line: bytes, *, keeps_whole: bool = False) -> Reply:
    code = _code(line)
    start = _start_of_text(line)
    text = _bounded(_text(line, start))
    return Reply(code, _enhanced(code, text), text, escape(line[start:]) if keeps_whole else "")


# A reused session gets "250 2.1.0 Ok" a thousand times; only replies to the dot differ.
_single = lru_cache(maxsize=256)(_read_single)


def _code(line: bytes) -> int:
    digits = line[:3]
    if len(digits) < 3 or not digits.isdigit() or line[3:4].isdigit():
        raise ProtocolError(Reason(ReasonCode.REPLY_INVALID, text=escape(line[:80])))
    code = int(digits)
    if not 100 <= code < 600:
        raise ProtocolError(Reason(ReasonCode.REPLY_CODE_UNKNOWN, code=f"{code:03}"))
    return code


def _start_of_text(line: bytes) -> int:
    """Return where the text begins; some servers write "250Ok" or "250: Ok"."""
    return 4 if line[3:4] in _SEPARATORS else 3


def _text(line: bytes, start: int) -> str:
    if len(line) <= LINE_KEPT:
        return escape(line[start:])
    return escape(line[start:LINE_KEPT]) + CUT_LINE


def _bounded(text: str) -> str:
    """Return the text, cut where it takes more bytes than are kept of a reply."""
    if len(text) <= REPLY_KEPT and (text.isascii() or len(text.encode()) <= REPLY_KEPT):
        return text
    return text.encode()[:REPLY_KEPT].decode(errors="ignore") + _CUT_REPLY


def _enhanced(code: int, text: str) -> str:
    """Return the first enhanced status code at the start of a line whose class fits the code."""
    for found in _ENHANCED.finditer(text):
        if int(found[1]) == code // 100:
            return f"{found[1]}.{found[2]}"
    return ""


def escape(raw: bytes) -> str:
    """Return received bytes as text that is safe to store and display."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
