"""A column of search terms, its index and its lookups.

On PostgreSQL it is a `tsvector` with a GIN index. It is written term by term, without a parser or a
dictionary of the server. Not every build of SQLite has a full-text index, so there it is a text
that is scanned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from outbox.texts import storable

MAX_TERMS = 16_000  # of one row: PostgreSQL counts positions up to 16,383
_MAX_POSITIONS = 255  # of one term, in PostgreSQL

if TYPE_CHECKING:
    _Field = models.Field[Iterable[str], str]
    _Lookup = models.Lookup["Wanted"]
else:  # neither is generic at run time
    _Field, _Lookup = models.Field, models.Lookup
Phrase = Sequence[str]  # terms in a row; the last one may be a prefix


class Whole(tuple[str, ...]):
    """A phrase whose last term is not a prefix.

    For a prefix such as "com", the index collects every term that starts with it, which is slow.
    """


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition: of each group, at least one phrase occurs."""

    groups: tuple[tuple[Phrase, ...], ...]


class TermsField(_Field):
    """Terms in their order. Reading it returns the database's own form."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "tsvector" if connection.vendor == "postgresql" else "text"

    def get_placeholder(self, value: Any, compiler: Any, connection: BaseDatabaseWrapper) -> str:
        return "%s::tsvector" if connection.vendor == "postgresql" else "%s"

    def get_placeholder_sql(
        self, value: Any, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, Sequence[Any]]:
        """Return the placeholder with its parameters, as Django 6.1 requires."""
        sql, params = compiler.compile(value) if hasattr(value, "as_sql") else ("%s", (value,))
        return self.get_placeholder(value, compiler, connection) % sql, params

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,  # noqa: FBT001, FBT002  # Django's signature
    ) -> Any:
        terms = [_in_one_word(term) for term in value][:MAX_TERMS]
        if connection.vendor == "postgresql":
            return _as_vector(terms)
        return f" {' '.join(terms)} " if terms else ""


class TermsIndex(models.Index):
    """GIN on PostgreSQL; elsewhere an index without rows, since no other kind would help."""

    suffix = "terms"

    def create_sql(
        self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any
    ) -> Any:
        if schema_editor.connection.vendor == "postgresql":
            return super().create_sql(model, schema_editor, using=" USING gin", **kwargs)
        nothing = models.Q(pk__lt=0)
        empty = models.Index(fields=self.fields, name=self.name, condition=nothing)
        return empty.create_sql(model, schema_editor, using, **kwargs)


@TermsField.register_lookup
class Has(_Lookup):
    """`column__has=Wanted(…)`."""

    lookup_name = "has"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        conditions: list[str] = []
        asked: list[Any] = list(params)
        for group in self.rhs.groups:
            conditions.append(" OR ".join([f"instr({column}, %s) > 0"] * len(group)))
            asked += [_as_written(phrase) for phrase in group]
        return " AND ".join(f"({condition})" for condition in conditions), asked

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} @@ %s::tsquery", [*params, _as_query(self.rhs)]


@TermsField.register_lookup
class Holds(Has):
    """`column__holds=Wanted(…)`: the same, evaluated for each row, for a few known rows.

    COALESCE keeps PostgreSQL from using the index, which would collect the matches of all rows.
    """

    lookup_name = "holds"

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        condition, params = super().as_postgresql(compiler, connection)
        return f"COALESCE({condition}, FALSE)", params


def _in_one_word(term: str) -> str:
    """Return a term as it is stored: without blanks, which separate terms."""
    return "_".join(storable(term).split()) or "_"


def _as_vector(terms: Iterable[str]) -> str:
    positions: dict[str, list[int]] = {}
    for position, term in enumerate(terms, start=1):
        positions.setdefault(term, []).append(position)
    return " ".join(
        f"{_quoted(term)}:{','.join(map(str, found[:_MAX_POSITIONS]))}"
        for term, found in positions.items()
    )


def _as_query(wanted: Wanted) -> str:
    return " & ".join("(" + " | ".join(map(_phrase_query, group)) + ")" for group in wanted.groups)


def _phrase_query(phrase: Phrase) -> str:
    quoted = [_quoted(_in_one_word(term)) for term in phrase]
    return "(" + " <-> ".join(quoted) + ("" if isinstance(phrase, Whole) else ":*") + ")"


def _as_written(phrase: Phrase) -> str:
    """Return the text that a text column with this phrase contains."""
    return f" {' '.join(map(_in_one_word, phrase))}" + (" " if isinstance(phrase, Whole) else "")


def _quoted(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
