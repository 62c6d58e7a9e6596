"""Log lines cannot be forged by what a client or a server sends."""

import io
import logging
import subprocess
import sys

import pytest

from outbox.log_lines import LineFormatter, escape

FORGED = "/\n2026-11-28 10:00:00,000 INFO django: POST /admin/login/ 302"


def logged(*arguments: object, exception: BaseException | None = None) -> str:
    """Return what a logger with this formatter writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("{levelname} {name}: {message}", style="{"))
    logger = logging.getLogger("tests.log_lines")
    logger.addHandler(handler)
    try:
        logger.warning(*arguments, exc_info=exception)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


@pytest.mark.parametrize("hostile", ["\n", "\r", "\x1b[2J", "\x00", "\x85", "\u2028", "\u202e"])
def test_a_control_character_is_escaped(hostile: str) -> None:
    escaped = escape(f"a{hostile}b")
    assert escaped.isprintable()
    assert len(escaped.splitlines()) == 1
    assert escaped.startswith("a\\")


def test_ordinary_text_is_unchanged() -> None:
    assert escape("GET /搜索/ “ü”") == "GET /搜索/ “ü”"


def test_an_argument_with_a_line_break_adds_no_entry() -> None:
    assert logged("Not found: %s", FORGED).count("\n") == 1


def test_lines_of_a_traceback_are_indented() -> None:
    error = ValueError(FORGED)
    error.add_note(FORGED)
    first, *others = logged("Failed.", exception=error).splitlines()
    assert first == "WARNING tests.log_lines: Failed."
    assert others
    assert all(line.startswith("    ") for line in others)


def test_the_traceback_of_another_formatter_is_not_reused() -> None:
    """logging stores the text of a traceback in the record, for all handlers."""
    record = logging.LogRecord("outbox", logging.ERROR, "", 0, "Failed.", (), None)
    record.exc_info = (ValueError, ValueError(FORGED), None)
    logging.Formatter().format(record)
    lines = LineFormatter().format(record).splitlines()
    assert len(lines) > 1
    assert all(line.startswith("    ") for line in lines[1:])


def test_the_log_of_the_web_server_has_time_address_and_user_and_no_forged_line() -> None:
    """In a process of its own: gunicorn configures global loggers."""
    script = """
import datetime
from types import SimpleNamespace
from gunicorn.config import Config
from mailsite import gunicorn as configured

cfg = Config()
for name in ("accesslog", "access_log_format", "logger_class"):
    cfg.set(name, getattr(configured, name))
logger = cfg.logger_class(cfg)
response = SimpleNamespace(status="404 Not Found", sent=12, headers=[])
environ = {
    "REMOTE_ADDR": "192.0.2.1", "REQUEST_METHOD": "GET", "RAW_URI": "/", "QUERY_STRING": "",
    "SERVER_PROTOCOL": "HTTP/1.1", "PATH_INFO": "/\\n2026 POST /admin/login/ 302 \\x1b[2J",
    "outbox.user": 'eve" "admin',
}
logger.access(response, SimpleNamespace(headers=[]), environ, datetime.timedelta(seconds=1))
environ["outbox.address"] = "203.0.113.7"
logger.access(response, SimpleNamespace(headers=[]), environ, datetime.timedelta(seconds=1))
logger.error("Invalid request: %s", "a\\nb")
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert " 192.0.2.1 " in lines[0]
    assert " 203.0.113.7 " in lines[1]
    assert r'"eve\" \"admin" GET /\x0a2026 POST /admin/login/ 302 \x1b[2J 404' in lines[0]
    assert lines[0].startswith("[")  # the time
    assert result.stderr.count("\n") == 1
