"""One statement that gives many rows each its own values, guarded, and tells which it changed.

Django's bulk_update cannot be guarded and costs a CASE a row; this is the same on SQLite and
PostgreSQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections


@dataclass(frozen=True, slots=True)
class Column:
    """A column to set and its PostgreSQL type, without which an all-NULL list has none."""

    name: str
    type: str


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
    ours, never anybody's input.
    """
    if not rows:
        return []
    connection = connections[using]
    names = ", ".join(["id", *(column.name for column in columns)])
    if connection.vendor == "postgresql":
        types = ["bigint", *(column.type for column in columns)]
        lists = ", ".join(f"%s::{kind}[]" for kind in types)
        source = f"SELECT * FROM unnest({lists})"  # noqa: S608  # types are ours
        returning = "t.id"
        params: list[Any] = [list(values) for values in zip(*rows, strict=True)]
    else:
        one = "({})".format(", ".join(["%s"] * (len(columns) + 1)))
        returning = "id"  # SQLite knows no alias there
        source = "VALUES " + ", ".join([one] * len(rows))
        adapt = connection.ops.adapt_datetimefield_value
        params = [
            adapt(value) if hasattr(value, "tzinfo") else value for row in rows for value in row
        ]
    assignments = ", ".join(f"{column.name} = v.{column.name}" for column in columns)
    if set_also:
        assignments += f", {set_also}"
    sql = (
        f"WITH v({names}) AS ({source}) UPDATE {table} AS t SET {assignments} FROM v "  # noqa: S608  # names are ours
        f"WHERE t.id = v.id {'AND ' + guard if guard else ''} RETURNING {returning}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]
