"""The columns of a model's table, for statements that bypass the model.

Such an insert fills every column, so that a new column with a default needs no change of its SQL.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.db.models import AutoField, Field, ForeignKey, Model
from django.db.models.fields import NOT_PROVIDED

_NONE: Mapping[str, str] = MappingProxyType({})
# The types in which values travel, for each kind of field. The table's own type is stricter.
_TYPES = {
    "AutoField": "integer",
    "BigAutoField": "bigint",
    "BigIntegerField": "bigint",
    "BooleanField": "boolean",
    "CharField": "text",
    "DateTimeField": "timestamptz",
    "DurationField": "interval",
    "IntegerField": "integer",
    "JSONField": "jsonb",
    "PositiveBigIntegerField": "bigint",
    "PositiveIntegerField": "integer",
    "PositiveSmallIntegerField": "smallint",
    "SmallIntegerField": "smallint",
    "TextField": "text",
    "UUIDField": "uuid",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its PostgreSQL type."""

    name: str
    type: str
    kept_without: str = ""  # the column without whose new value this one keeps its stored value


def columns_of(
    model: type[Model], names: Iterable[str], *, kept_without: Mapping[str, str] = _NONE
) -> tuple[Column, ...]:
    """Return these columns of the model's table. Raises KeyError for one that it does not have.

    A column in `kept_without` keeps its stored value when the new one of another column is None.
    """
    fields = {str(field.column): field for field in model._meta.local_concrete_fields}
    return tuple(Column(name, _type_of(fields[name]), kept_without.get(name, "")) for name in names)


def _type_of(field: "Field[Any, Any]") -> str:
    while isinstance(field, ForeignKey):
        field = field.target_field
    return _TYPES[field.get_internal_type()]


def complete(model: type[Model], given: Mapping[str, str]) -> dict[str, str]:
    """Return an SQL expression for every column but an automatic id: the given ones come first.

    The others are the model's defaults. Raise TypeError for a default that depends on the moment,
    such as `timezone.now`.
    """
    others = {str(field.column): field for field in _fields(model)}
    for name in given:
        del others[name]
    return {**given, **{name: _literal(field) for name, field in others.items()}}


def defaults_of(model: type[Model], names: Iterable[str]) -> dict[str, Any]:
    """Return the defaults of these columns, which `complete` writes where none of them is given."""
    fields = {str(field.column): field for field in _fields(model)}
    return {name: _default_of(fields[name]) for name in names}


def typed(model: type[Model], names: Iterable[str]) -> str:
    """Return the columns of these names with their types, as a record definition lists them."""
    return ", ".join(f"{column.name} {column.type}" for column in columns_of(model, names))


def _fields(model: type[Model]) -> "Iterator[Field[Any, Any]]":
    return (field for field in model._meta.concrete_fields if not isinstance(field, AutoField))


def _literal(field: "Field[Any, Any]") -> str:
    value = _default_of(field)
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return "'" + text.replace("'", "''") + "'"


def _default_of(field: "Field[Any, Any]") -> Any:
    has_own = field.has_default() or field.db_default is NOT_PROVIDED
    return field.get_prep_value(field.get_default() if has_own else field.db_default)
