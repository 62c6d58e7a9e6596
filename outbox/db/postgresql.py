"""Prepared statements and plans of PostgreSQL, which Django leaves to every single execution."""

import time
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.conf import get_conf

_NEVER = 2**31  # executions after which psycopg would prepare a statement by itself
_PLAN_LIFETIME = 0.5  # seconds
_planned_at: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # by psycopg's connection


def can_prepare(connection: BaseDatabaseWrapper) -> bool:
    """Return whether statements are prepared on this connection."""
    return connection.vendor == "postgresql" and get_conf().prepare_statements


def expect_few(key: str) -> str:
    """Return a condition that is true for every number, and for few rows in the planner's estimate.

    PostgreSQL estimates 100 rows for json_to_recordset, and that an equality of expressions holds
    for one row in 200. Without the condition it read whole tables of some thousand rows at every
    claim and group commit. With it, each row is found by its key: among 5,000 messages, a commit of
    one mark took 1.4 ms instead of 2.6 ms.
    """
    return f"{key} = {key} + 0"


def run_prepared(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Run a statement that the server parses and plans once.

    Django's own cursor puts the values into the SQL, so the server parses and plans every
    execution. A commit of one mark then took 4.8 ms, and takes 1.4 ms prepared.
    """
    with connection.wrap_database_errors:
        _prepare(connection)
        with _execute(connection, sql, params) as cursor:
            return list(cursor.fetchall()) if cursor.description else []


def run_pipeline(
    connection: BaseDatabaseWrapper, statements: Iterable[tuple[str, Sequence[Any]]]
) -> list[list[tuple[Any, ...]]]:
    """Run prepared statements, each with its parameters.

    The server executes one while the parameters of the next are produced.
    """
    with connection.wrap_database_errors, _prepare(connection).pipeline():
        cursors = [_execute(connection, sql, params) for sql, params in statements]
        return [list(cursor.fetchall()) for cursor in cursors]


def _prepare(connection: BaseDatabaseWrapper) -> Any:
    """Return psycopg's connection, ready to prepare statements on request.

    Django sets it to prepare none, not even on request. Plans are renewed twice a second: a plan
    made for a small table reads the whole table after it has grown, until the server's statistics
    are renewed. DISCARD PLANS takes 0.1 ms, and planning one statement 3 ms.
    """
    connection.ensure_connection()
    own, now = connection.connection, time.monotonic()
    if own.prepare_threshold is None:
        own.prepare_threshold = _NEVER
    if now - _planned_at.setdefault(own, now) > _PLAN_LIFETIME:
        own.execute("DISCARD PLANS")
        _planned_at[own] = now
    return own


def _execute(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> Any:
    import psycopg

    return psycopg.Cursor(connection.connection).execute(sql.encode(), params, prepare=True)
