"""The text columns of all tables that may have an address: found, exported and rewritten.

Tables are read whole, since no index finds a text inside another one. A table or a column that is
added later is found as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, models

from outbox.mail.traces import Traces
from outbox.models.terms import TermsField
from outbox.reasons import Reason

_JSON = ("jsonb", "json")
_AT_ONCE = 500
# Apps besides the outbox whose tables may have an address: their configuration says so.
MARK = "outbox_erases_addresses"


@dataclass(frozen=True, slots=True)
class Found:
    """A row that has the address, with the texts of its columns as they are stored."""

    model: type[models.Model]
    pk: Any
    texts: dict[str, str]


def tables(using: str) -> list[type[models.Model]]:
    """Return the models whose tables may have an address, in their order."""
    found: list[type[models.Model]] = []
    for config in apps.get_app_configs():
        if config.label == "outbox" or getattr(config, MARK, False):
            found += config.get_models(include_auto_created=True)
    if apps.is_installed("django.contrib.admin"):
        found.append(apps.get_model("admin", "LogEntry"))
    existing = set(connections[using].introspection.table_names())
    return [one for one in found if not one._meta.proxy and one._meta.db_table in existing]


def text_fields(model: type[models.Model], using: str) -> list[models.Field[Any, Any]]:
    """Return the columns that hold text. Search terms follow from other columns."""
    return [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, TermsField) and _is_text(field, using)
    ]


def _is_text(field: models.Field[Any, Any], using: str) -> bool:
    kind = (field.db_type(connections[using]) or "").lower()
    return kind.startswith(("text", "varchar", "char", "citext", *_JSON))


def find(model: type[models.Model], traces: Traces, using: str) -> Iterator[Found]:
    """Yield the rows of a table that have the address."""
    fields = text_fields(model, using)
    if not fields:
        return
    connection = connections[using]
    quote = connection.ops.quote_name
    columns = [quote(str(field.column)) for field in fields]
    key = ", ".join(quote(str(field.column)) for field in _key_fields(model))
    cast = "CAST({} AS text)"
    texts = [cast.format(column) for column in columns]
    like = " OR ".join(
        f"LOWER({text}) LIKE %s ESCAPE '!'" for text in texts for _ in traces.needles
    )
    sql = f"SELECT {key}, {', '.join(texts)} FROM {quote(model._meta.db_table)} WHERE {like}"  # noqa: S608  # names of columns
    patterns = [_pattern(needle) for needle in traces.needles] * len(texts)
    keys = len(_key_fields(model))
    with connection.cursor() as cursor:
        cursor.execute(sql, patterns)
        rows = cursor.fetchall()
    for row in rows:
        values = dict(zip((str(field.column) for field in fields), row[keys:], strict=True))
        having = {name: text for name, text in values.items() if text and traces.is_in(text)}
        if having:
            yield Found(model, row[:keys], having)


def rewrite(found: Found, traces: Traces, using: str) -> None:
    """Write a placeholder instead of the address into the columns of a row."""
    connection = connections[using]
    quote = connection.ops.quote_name
    by_column = {field.column: field for field in found.model._meta.concrete_fields}
    changes, values = [], []
    for column, text in found.texts.items():
        field = by_column[column]
        is_json = (field.db_type(connection) or "").lower().startswith(_JSON)
        placeholder = "%s::jsonb" if is_json and connection.vendor == "postgresql" else "%s"
        changes.append(f"{quote(column)} = {placeholder}")
        values.append(_without(text, field, found, traces))
    keys = [quote(str(field.column)) for field in _key_fields(found.model)]
    where = " AND ".join(f"{key} = %s" for key in keys)
    sql = f"UPDATE {quote(found.model._meta.db_table)} SET {', '.join(changes)} WHERE {where}"  # noqa: S608  # names of columns
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, *found.pk])


def _without(text: str, field: models.Field[Any, Any], found: Found, traces: Traces) -> str | None:
    if field.unique or field.column == "idempotency_key":
        return None if field.null else f"erased#{found.pk[0]}"
    without = without_in_text(text, traces)
    longest: int | None = getattr(field, "max_length", None)
    return without[:longest] if longest else without


def without_in_text(text: str, traces: Traces) -> str:
    """Return a text without the address. JSON and reasons are decoded, so that they stay valid."""
    start = text.lstrip()[:1]
    if start in {"[", "{", '"'}:
        try:
            return json.dumps(traces.without_in(json.loads(text)))
        except ValueError:
            pass
    code, _, rest = text.partition(" ")
    if rest.startswith("{") and code.isidentifier():
        return Reason.load(text).map_texts(traces.without).dump()
    return traces.without(text)


def _key_fields(model: type[models.Model]) -> Sequence[models.Field[Any, Any]]:
    key = model._meta.pk
    assert key is not None
    parts: Sequence[models.Field[Any, Any]] = getattr(key, "fields", ()) or (key,)
    return parts


def _pattern(needle: str) -> str:
    escaped = needle.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
