"""A message of the standard library written out, much faster where its headers are plain.

The library puts every header value through an encoder and a folder. A short value of printable
ASCII comes out as it went in, and most are such; whatever is not goes the library's way. A body it
writes line by line; here it is written at once.
"""

import re
from email.generator import BytesGenerator
from email.message import Message
from email.policy import Compat32
from io import BytesIO
from typing import Any

_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_FOLDED_AT = 78  # of Compat32
_LINE_END = re.compile(r"\r\n?")


def flatten(message: "Message[Any, Any]") -> bytes:
    """Return the bytes that `BytesGenerator(mangle_from_=False)` gives, with "\\n" at line ends."""
    written = BytesIO()
    _Generator(written, mangle_from_=False).flatten(message)
    return written.getvalue()


class _Generator(BytesGenerator):
    def _write_headers(self, message: "Message[Any, Any]") -> None:
        fields = list(message.raw_items())
        if type(self.policy) is Compat32 and all(_is_plain(*field) for field in fields):
            head = "".join([f"{name}: {value}\n" for name, value in fields])
            self._fp.write(f"{head}\n".encode("ascii"))  # type: ignore[attr-defined]  # as below
        else:
            super()._write_headers(message)  # type: ignore[misc]  # it is not in the stubs

    def _write_lines(self, lines: str) -> None:
        if lines:
            self.write(_LINE_END.sub("\n", lines) if "\r" in lines else lines)


def _is_plain(name: str, value: object) -> bool:
    return (
        type(value) is str
        and len(name) + len(": ") + len(value) <= _FOLDED_AT
        and _PLAIN.fullmatch(value) is not None
    )
