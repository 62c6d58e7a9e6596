"""Many rows in one statement, each with values of its own: guarded updates, inserts with ids.

Django's bulk_update cannot be guarded and costs a CASE a row; its bulk_create builds a model and a
placeholder for every value. Here the rows travel as one JSON text, which both databases take apart
in C, and the statement is the same for one row and for a thousand.
"""

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.conf import get_conf


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its PostgreSQL type."""

    name: str
    type: str
    keeps: bool = False  # None leaves what is there


_ONLY_IF_ASKED = 2**31  # runs of a query after which it would be prepared unasked
_PLANS_LAST = 0.5  # seconds
_planned_at: WeakKeyDictionary[Any, float] = WeakKeyDictionary()  # by psycopg's connection
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_ID = Column("id", "bigint")
_NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
}


def update_rows(
    using: str,
    table: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    set_also: str = "",
    guard: str = "",
) -> list[int]:
    """Set `columns` of `table` from `rows`, matched by `id`; return the ids it changed.

    Each row is (id, value, …) in the order of `columns`. `set_also` is a further assignment and
    `guard` a further condition, both SQL over `t` (the table) and `v` (the row's values); they are
    ours, never anybody's input. Texts must be free of NUL.
    """
    if not rows:
        return []
    source, text = _keyed_values(using, (_ID, *columns), rows)
    assignments = ", ".join(f"{column.name} = {_new_value(column)}" for column in columns)
    if set_also:
        assignments += f", {set_also}"
    where = f"t.id = v.id AND {guard}" if guard else "t.id = v.id"
    # SQLite knows no alias behind RETURNING, PostgreSQL would find a bare `id` ambiguous.
    returning = "t.id" if connections[using].vendor == "postgresql" else "id"
    sql = (
        f"UPDATE {table} AS t SET {assignments} FROM {source} WHERE {where} "  # noqa: S608  # names are ours
        f"RETURNING {returning}"
    )
    return [row[0] for row in fetch(using, sql, [text])]


def _new_value(column: Column) -> str:
    return f"COALESCE(v.{column.name}, t.{column.name})" if column.keeps else f"v.{column.name}"


def insert_rows(
    using: str,
    table: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    now_for: Collection[str] = (),
    guard: str = "true",
    guarded_by: Sequence[Any] = (),
    behind: str = "",
) -> list[int]:
    """Insert `rows`, each in the order of `columns`; return their new ids in the rows' order.

    A column of `now_for` whose value is None gets the database's present time, which `{now}` stands
    for in the `guard`: a condition, with parameters, without which nothing is inserted. It must not
    speak of the rows, or they might be joined out of order. `behind` is SQL that follows, such as
    what happens on a conflict. Both are ours, never anybody's input.
    """
    if not rows:
        return []
    source, text = _values(using, columns, rows)
    names = ", ".join(column.name for column in columns)
    now = _NOW[connections[using].vendor]
    chosen = ", ".join(
        f"COALESCE(v.{column.name}, {now})" if column.name in now_for else f"v.{column.name}"
        for column in columns
    )
    # The WHERE keeps SQLite from reading a join into the statement's end.
    sql = (
        f"INSERT INTO {table} ({names}) SELECT {chosen} FROM {source} "  # noqa: S608  # names are ours
        f"WHERE {guard.format(now=now)} {behind} RETURNING id"
    )
    # Both databases number the rows in the order in which they are inserted.
    return sorted(row[0] for row in fetch(using, sql, [text, *guarded_by]))


def select_rows(using: str, sql: str, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Run a query of ours that joins `{values}`, the given rows of one id each, named `v`."""
    source, text = _keyed_values(using, (_ID,), rows)
    return fetch(using, sql.format(values=source), [text])


def insert_blobs(using: str, table: str, rows: Sequence[tuple[int, bytes, str]]) -> None:
    """Insert (message_id, data, sha256) rows: bytes have no place in a JSON text."""
    if not rows:
        return
    connection = connections[using]
    names = "(message_id, data, sha256, file)"
    if connection.vendor == "postgresql" and get_conf().prepare_statements:
        sql = (
            f"INSERT INTO {table} {names} SELECT *, '' FROM "  # noqa: S608  # names are ours
            "unnest(%b::bigint[], %b::bytea[], %b::text[])"
        )
        _run_prepared(connection, sql, [list(values) for values in zip(*rows, strict=True)])
        return
    places = ", ".join(["(%s, %s, %s, '')"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} {names} VALUES {places}",  # noqa: S608  # names are ours
            [value for row in rows for value in row],
        )


def fetch(using: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a query of ours that is asked again and again; `%s` stands for each parameter."""
    connection = connections[using]
    if connection.vendor == "postgresql" and get_conf().prepare_statements:
        return _run_prepared(connection, sql, params)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def fetch_each(
    using: str, sql: str, parameters: Iterable[Sequence[Any]]
) -> list[list[tuple[Any, ...]]]:
    """Run a query of ours for each set of parameters; the server works while the next is made."""
    connection = connections[using]
    if not (connection.vendor == "postgresql" and get_conf().prepare_statements):
        return [fetch(using, sql, params) for params in parameters]
    with connection.wrap_database_errors, _ready(connection).pipeline():
        cursors = [_executed(connection, sql, params) for params in parameters]
        return [list(cursor.fetchall()) for cursor in cursors]


def are_few(key: str) -> str:
    """Return a condition that every number meets, and one in two hundred as PostgreSQL guesses.

    It takes rows out of JSON for a hundred, and for these would read a whole table of some
    thousands, again and again; for a few it looks each up by its key, as is right at any size.
    """
    return f"{key} = {key} + 0"


def _keyed_values(
    using: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    """Return what `_values` does, for a statement that looks rows up by `v.id`."""
    source, text = _values(using, columns, rows)
    if connections[using].vendor == "postgresql":
        source = f"(SELECT * FROM {source} WHERE {are_few('v.id')}) AS v"  # noqa: S608
    return source, text


def _values(
    using: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    """Return a FROM item named `v` that reads one JSON parameter, and that parameter."""
    if connections[using].vendor == "postgresql":
        # A record a row is taken apart in one pass; an array would be, once for every column.
        names = [column.name for column in columns]
        typed = ", ".join(f"{column.name} {column.type}" for column in columns)
        records = [dict(zip(names, row, strict=True)) for row in rows]
        return f"json_to_recordset(%s::json) AS v({typed})", as_json(records)
    chosen = ", ".join(
        f"json_extract(j.value, '$[{number}]') AS {column.name}"
        for number, column in enumerate(columns)
    )
    source = f"(SELECT {chosen} FROM json_each(%s) AS j) AS v"  # noqa: S608
    adapt = connections[using].ops.adapt_datetimefield_value
    return source, as_json(rows, adapt)


def _iso(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a bulk statement")


def as_json(value: Any, adapt: Callable[[Any], Any] = _iso) -> str:
    """Write rows as one JSON text that a database takes: without NUL and halves of characters."""
    text = json.dumps(value, default=adapt, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1\\ufffd", text)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text


def _run_prepared(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Let the server parse and plan once: Django's own cursor writes values into the statement."""
    with connection.wrap_database_errors:
        _ready(connection)
        with _executed(connection, sql, params) as cursor:
            return list(cursor.fetchall()) if cursor.description else []


def _ready(connection: BaseDatabaseWrapper) -> Any:
    """Return psycopg's own connection, which Django tells to prepare nothing, not even if asked.

    Its plans are made anew now and then: one that was right for a small table would read the whole
    of it when it has grown, until the server's own statistics are.
    """
    connection.ensure_connection()
    own, now = connection.connection, time.monotonic()
    if own.prepare_threshold is None:
        own.prepare_threshold = _ONLY_IF_ASKED
    if now - _planned_at.setdefault(own, now) > _PLANS_LAST:
        own.execute("DISCARD PLANS")
        _planned_at[own] = now
    return own


def _executed(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any]) -> Any:
    import psycopg

    return psycopg.Cursor(connection.connection).execute(sql.encode(), params, prepare=True)
