"""Log lines that a client cannot forge, as text or as JSON.

Neither contains a body: a database that rejects a row repeats its values in its error.
"""

import datetime as dt
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

# Control characters, among them line breaks and ESC, and the separators that some viewers break at.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# The values of a row in PostgreSQL's errors, until the next exception of a traceback.
_ROW = re.compile(r"DETAIL: .*?(?=\n\n(?:The above|During)|\Z)", re.DOTALL)
FIELDS = ("message_id", "attempt_id", "account_id", "destination_id", "worker_id", "outcome")
_fields: ContextVar[Mapping[str, object]] = ContextVar("outbox_log_fields", default={})  # noqa: B039  # never changed


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Add fields to every JSON line that is logged in the block."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def without_rows(text: str) -> str:
    """Return the text of an error without the values of a row, which may be a message."""
    return _ROW.sub("DETAIL: (removed)", text)


def escape(text: str) -> str:
    r"""Return the text in one line: control characters become `\x0a` or `\u2028`."""
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004  # one byte


class LineFormatter(logging.Formatter):
    """Escapes the message and indents a traceback, so that each entry begins a line and only one.

    A path, an address or a server reply may contain a line break followed by a forged entry.
    """

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # logging caches what another handler's formatter has written
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # named by logging
        return escape(without_rows(super().formatMessage(record)))

    def formatException(self, ei: "logging._SysExcInfoType") -> str:  # noqa: N802  # named by logging
        return _indented(without_rows(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # named by logging
        return _indented(stack_info)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII, with the ids of what the line is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, object] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": without_rows(record.getMessage()),
            "process": record.process,
        }
        entry |= _fields.get()
        entry |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            entry["exception"] = without_rows(self.formatException(record.exc_info))
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, default=str)


def _indented(text: str) -> str:
    """Escape each line of a traceback; the text of an exception may have lines of its own."""
    return "\n".join(f"    {escape(line)}" for line in text.splitlines())
