"""SQLite: connection options where the project sets none, and frequent statements.

A transaction that reads first and then writes fails at once, whatever the timeout, when another
process is writing; and where the outbox is, a worker writes. So each transaction on that file takes
the write lock when it begins, and waits for it. What a project sets in OPTIONS is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.conf import get_conf

if TYPE_CHECKING:
    import sqlite3

_PLACEHOLDER = re.compile(r"(?<!%)%s")
PATIENCE = 20  # seconds that a transaction waits for the lock


def use_immediate_transactions(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receive `connection_created`."""
    if connection.vendor != "sqlite" or not _holds_the_outbox(connection):
        return
    options = connection.settings_dict.get("OPTIONS", {})
    if "transaction_mode" not in options:
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]  # of SQLite's only
    if "timeout" not in options:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")


def is_watched(connection: BaseDatabaseWrapper) -> bool:
    """Return whether statements have to pass through Django's cursor, which logs and wraps them."""
    return connection.queries_logged or bool(connection.execute_wrappers)


def run(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a frequent statement, with `%s` for each parameter, and return its rows.

    Django's cursor converts the SQL at each execution, which can take longer than executing it.
    """
    with raw_cursor(connection) as cursor:
        return list(cursor.execute(qmark(sql), params))


@contextmanager
def raw_cursor(connection: BaseDatabaseWrapper) -> Iterator[sqlite3.Cursor]:
    """Yield a cursor for SQL from `qmark`, which raises Django's errors."""
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        yield cursor


@lru_cache(maxsize=128)
def qmark(sql: str) -> str:
    """Return SQL with `?` for each `%s`, and `%` for each `%%`."""
    return _PLACEHOLDER.sub("?", sql).replace("%%", "%")


def _holds_the_outbox(connection: BaseDatabaseWrapper) -> bool:
    try:
        return connection.alias == get_conf().database
    except ImproperlyConfigured:  # a check says so, which may need this connection
        return False
