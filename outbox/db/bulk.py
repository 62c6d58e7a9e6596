"""Statements for many rows, each with its own values: guarded updates, inserts that return ids.

Django's bulk_update cannot be guarded and needs a CASE for each row. Its bulk_create builds a model
and a placeholder for each value. Here the rows are one JSON parameter, which both databases parse
in C, so the statement is the same for one row and for a thousand.

Table names, guards and other SQL are this project's own, never input.
"""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, Model

from outbox.db import postgresql, sqlite
from outbox.db.columns import Column, columns_of
from outbox.texts import storable

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_ID = Column("id", "bigint")
_NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
}


class Among(Func):
    """The condition that a column has one of many ids, which are one parameter on PostgreSQL.

    For `__in`, Django prepares and quotes every value, which took half of the time that a bulk
    operation spent in Python. Under `exclude()`, a row whose column is NULL is not found either, as
    in SQL.
    """

    def __init__(self, name: str, ids: Iterable[int]) -> None:
        super().__init__(F(name), output_field=BooleanField())
        self.ids = list(ids)

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: BaseDatabaseWrapper, **_options: Any
    ) -> tuple[str, list[Any]]:
        """Return the condition and its parameters. Raise EmptyResultSet if there is no id."""
        if not self.ids:
            raise EmptyResultSet
        column, params = compiler.compile(self.get_source_expressions()[0])
        if connection.vendor == "postgresql":
            return f"{column} = ANY(%s::bigint[])", [*params, self.ids]
        return f"{column} IN ({', '.join(['%s'] * len(self.ids))})", [*params, *self.ids]


def update_rows(
    using: str,
    table: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    set_also: str = "",
    guard: str = "",
) -> list[int]:
    """Update `columns` of `table` from `rows`, matched by `id`. Return the ids of changed rows.

    Each row is (id, value, …) in the order of `columns`. `set_also` is a further assignment and
    `guard` a further condition, both SQL on `t` (the table) and `v` (the row's values). Texts must
    not contain NUL.
    """
    if not rows:
        return []
    source, text = _keyed_values(using, (_ID, *columns), rows)
    assignments = ", ".join(f"{column.name} = {_new_value(column)}" for column in columns)
    if set_also:
        assignments += f", {set_also}"
    where = f"t.id = v.id AND {guard}" if guard else "t.id = v.id"
    # SQLite accepts no alias after RETURNING; for PostgreSQL a bare `id` would be ambiguous.
    returning = "t.id" if connections[using].vendor == "postgresql" else "id"
    sql = (
        f"UPDATE {table} AS t SET {assignments} FROM {source} WHERE {where} "  # noqa: S608  # names are ours
        f"RETURNING {returning}"
    )
    return [row[0] for row in fetch(using, sql, [text])]


def _new_value(column: Column) -> str:
    given = f"v.{column.name}"
    if not column.kept_without:
        return given
    return f"CASE WHEN v.{column.kept_without} IS NULL THEN t.{column.name} ELSE {given} END"


def insert_rows(
    using: str,
    table: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    others: Mapping[str, str] = MappingProxyType({}),
    guard: str = "true",
    guarded_by: Sequence[Any] = (),
) -> list[int]:
    """Insert `rows`, each in the order of `columns`. Return their new ids in the same order.

    `others` are further columns, each with an SQL expression. Nothing is inserted unless `guard`
    holds: a condition with the parameters `guarded_by`, in which `{now}` is the database's time.
    The guard must not refer to the rows, or they might be joined in another order.
    """
    if not rows:
        return []
    source, text = _values(using, columns, rows)
    names = ", ".join([*(column.name for column in columns), *others])
    now = _NOW[connections[using].vendor]
    chosen = ", ".join([*(f"v.{column.name}" for column in columns), *others.values()])
    sql = (
        f"INSERT INTO {table} ({names}) SELECT {chosen} FROM {source} "  # noqa: S608  # names are ours
        f"WHERE {guard.format(now=now)} RETURNING id"
    )
    # Both databases number the rows in the order in which they are inserted.
    return sorted(row[0] for row in fetch(using, sql, [text, *guarded_by]))


def insert_models(using: str, rows: Sequence[Model]) -> None:
    """Insert unsaved rows of one model, whose key is an automatic id, and set their ids.

    Unlike bulk_create, it calls no `pre_save`: automatic times have to be set before.
    """
    if not rows:
        return
    model = type(rows[0])
    columns, read = _insertable(model)
    ids = insert_rows(using, model._meta.db_table, columns, [read(row) for row in rows])
    for row, pk in zip(rows, ids, strict=True):
        row.pk = pk
        row._state.adding, row._state.db = False, using


@cache
def _insertable(model: type[Model]) -> tuple[tuple[Column, ...], Callable[[Model], list[Any]]]:
    """Return the columns of a model without its key, and a function that reads their values."""
    fields = [field for field in model._meta.local_concrete_fields if not field.primary_key]
    columns = columns_of(model, (str(field.column) for field in fields))
    values_of = attrgetter(*(field.attname for field in fields))
    own = [  # of which the database stores another form than the model has
        (place, field.get_prep_value)
        for place, field in enumerate(fields)
        if not type(field).__module__.startswith("django.")
    ]

    def read(row: Model) -> list[Any]:
        values = list(values_of(row))
        for place, prepare in own:
            values[place] = prepare(values[place])
        return values

    return columns, read


def add_rows(
    using: str,
    table: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    *,
    to: Sequence[str],
) -> None:
    """Add the columns `to` of each row to the stored row that has the same other columns.

    A row that is missing is inserted. The other columns are the primary key, and the rows come in
    its order.
    """
    if not rows:
        return
    source, text = _values(using, columns, rows)
    names = [column.name for column in columns]
    keys = ", ".join(name for name in names if name not in to)
    added = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in to)
    sql = (
        f"INSERT INTO {table} AS t ({', '.join(names)}) "  # noqa: S608  # names are ours
        f"SELECT {', '.join(f'v.{name}' for name in names)} FROM {source} WHERE true "
        f"ON CONFLICT ({keys}) DO UPDATE SET {added} RETURNING 1"
    )
    fetch(using, sql, [text])


def delete_rows(
    using: str, table: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> None:
    """Delete the stored rows that have the same `columns` as one of `rows`."""
    if not rows:
        return
    source, text = _values(using, columns, rows)
    names = ", ".join(column.name for column in columns)
    given = ", ".join(f"v.{column.name}" for column in columns)
    fetch(
        using,
        f"DELETE FROM {table} WHERE ({names}) IN (SELECT {given} FROM {source})",  # noqa: S608  # names are ours
        [text],
    )


def select_rows(using: str, sql: str, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return the rows of a query that joins `{values}`, the given rows of one id each, as `v`."""
    source, text = _keyed_values(using, (_ID,), rows)
    return fetch(using, sql.format(values=source), [text])


def fetch(using: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a frequent query and return its rows. Each parameter is `%s` in the SQL."""
    connection = connections[using]
    if postgresql.can_prepare(connection):
        return postgresql.run_prepared(connection, sql, params)
    if connection.vendor == "sqlite" and not sqlite.is_watched(connection):
        return sqlite.run(connection, sql, params)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def fetch_each(
    using: str, statements: Iterable[tuple[str, Sequence[Any]]]
) -> list[list[tuple[Any, ...]]]:
    """Run each of these queries with its parameters and return the rows of each."""
    connection = connections[using]
    if postgresql.can_prepare(connection):
        return postgresql.run_pipeline(connection, statements)
    return [fetch(using, sql, params) for sql, params in statements]


def _keyed_values(
    using: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    """Return the same as `_values`, for a statement that finds rows by `v.id`."""
    source, text = _values(using, columns, rows)
    if connections[using].vendor == "postgresql":
        source = f"(SELECT * FROM {source} WHERE {postgresql.expect_few('v.id')}) AS v"  # noqa: S608
    return source, text


def _values(
    using: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
) -> tuple[str, str]:
    """Return a FROM item named `v` that reads one JSON parameter, and that parameter."""
    if connections[using].vendor == "postgresql":
        # A record per row is parsed once; an array per column would be parsed for each column.
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
    return source, as_json(rows, lambda one: one.hex if isinstance(one, uuid.UUID) else adapt(one))


def _iso(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not supported in a bulk statement")


_encode_iso = json.JSONEncoder(default=_iso, ensure_ascii=False).encode  # built once


def as_json(value: Any, adapt: Callable[[Any], Any] = _iso) -> str:
    """Return rows as JSON that a database accepts: without NUL and lone surrogates."""
    if adapt is _iso:
        text = _encode_iso(value)
    else:
        text = json.dumps(value, default=adapt, ensure_ascii=False)
    if "\\u0000" in text:
        text = _NUL.sub(r"\1\\ufffd", text)
    return storable(text)
