"""Serialize a message of the standard library, much faster if its headers are plain.

The library encodes and folds every header value, although a short value of printable ASCII does not
change. Such headers are written directly, and a body at once instead of line by line. For all other
headers, the library is used.
"""

import re
from collections.abc import Iterable
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Compat32
from io import BytesIO
from typing import Any

_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_FOLDED_AT = 78  # of Compat32
_LINE_END = re.compile(r"\r\n?")


def flatten(message: "Message[Any, Any]") -> bytes:
    """Return the bytes of `BytesGenerator(mangle_from_=False)`, with "\\n" at line ends."""
    written = BytesIO()
    _Generator(written, mangle_from_=False).flatten(message)
    return written.getvalue()


class _Generator(BytesGenerator):
    def _write_headers(self, message: "Message[Any, Any]") -> None:
        fields = list(message.raw_items())
        if type(self.policy) is Compat32 and all(is_plain(*field) for field in fields):
            self._fp.write(_plain_head(fields))  # type: ignore[attr-defined]  # as below
        else:
            super()._write_headers(message)  # type: ignore[misc]  # missing in the stubs

    def _write_lines(self, lines: str) -> None:
        if lines:
            self.write(_LINE_END.sub("\n", lines) if "\r" in lines else lines)


def write_text(message: "Message[Any, Any]", body: bytes) -> bytes:
    """Return the bytes of a message of one text. `body` is its payload, with "\\n" at line ends."""
    fields = list(message.raw_items())
    if not all(is_plain(*field) for field in fields):
        return flatten(message)
    return _plain_head(fields) + body


def _plain_head(fields: "Iterable[tuple[str, Any]]") -> bytes:
    head = "".join([f"{name}: {value}\n" for name, value in fields])
    return f"{head}\n".encode("ascii")


def is_plain(name: str, value: object) -> bool:
    """Return whether a field is written as it is, neither encoded nor folded."""
    return (
        type(value) is str
        and len(name) + len(": ") + len(value) <= _FOLDED_AT
        and _PLAIN.fullmatch(value) is not None
    )
