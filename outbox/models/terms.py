"""A column of terms, its index, and the question which rows have some of them.

On PostgreSQL it is a `tsvector` with a GIN index, written term by term, so that no parser or
dictionary of the server has a say. SQLite has no such index in every build: there it is a text that
is looked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_TERMS = 16_000  # of one row: PostgreSQL counts places up to 16,383
_MAX_PLACES = 255  # of one term, in PostgreSQL

if TYPE_CHECKING:
    _Field = models.Field[Iterable[str], str]
    _Lookup = models.Lookup["Wanted"]
else:  # neither is generic where it runs
    _Field, _Lookup = models.Field, models.Lookup
Phrase = Sequence[str]  # terms in a row; the last may be the beginning of one


class Whole(tuple[str, ...]):
    """A phrase whose last term is no beginning.

    The index gathers all that begins with "com" before it looks for the few with "shop" before it.
    """


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of each group, at least one phrase has to be there."""

    groups: tuple[tuple[Phrase, ...], ...]


class TermsField(_Field):
    """Terms in their order; read back, it is what the database made of them."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "tsvector" if connection.vendor == "postgresql" else "text"

    def get_placeholder(self, value: Any, compiler: Any, connection: BaseDatabaseWrapper) -> str:
        return "%s::tsvector" if connection.vendor == "postgresql" else "%s"

    def get_placeholder_sql(
        self, value: Any, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, Sequence[Any]]:
        """Answer Django 6.1, which asks for the parameters too."""
        sql, params = compiler.compile(value) if hasattr(value, "as_sql") else ("%s", (value,))
        return self.get_placeholder(value, compiler, connection) % sql, params

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,  # noqa: FBT001, FBT002  # Django's signature
    ) -> Any:
        terms = [_storable(term) for term in value][:MAX_TERMS]
        if connection.vendor == "postgresql":
            return _as_vector(terms)
        return f" {' '.join(terms)} " if terms else ""


class TermsIndex(models.Index):
    """GIN on PostgreSQL; elsewhere an index of no row, since no other kind would help."""

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
        groups: list[str] = []
        asked: list[Any] = list(params)
        for phrases in self.rhs.groups:
            groups.append(" OR ".join([f"instr({column}, %s) > 0"] * len(phrases)))
            asked += [_as_written(phrase) for phrase in phrases]
        return " AND ".join(f"({group})" for group in groups), asked

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} @@ %s::tsquery", [*params, _as_query(self.rhs)]


@TermsField.register_lookup
class Holds(Has):
    """`column__holds=Wanted(…)`: the same, told from each row; for a few known ones.

    Behind COALESCE PostgreSQL sees no use for the index, which would gather the matches of all.
    """

    lookup_name = "holds"

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        told, params = super().as_postgresql(compiler, connection)
        return f"COALESCE({told}, FALSE)", params


def _storable(term: str) -> str:
    """A blank parts terms; NUL and halves of characters no database takes."""
    return "_".join(term.replace("\0", "").encode("utf-8", "ignore").decode().split()) or "_"


def _as_vector(terms: Iterable[str]) -> str:
    places: dict[str, list[int]] = {}
    for place, term in enumerate(terms, start=1):
        places.setdefault(term, []).append(place)
    return " ".join(
        f"{_quoted(term)}:{','.join(map(str, found[:_MAX_PLACES]))}"
        for term, found in places.items()
    )


def _as_query(wanted: Wanted) -> str:
    return " & ".join(
        "(" + " | ".join(map(_phrase_query, phrases)) + ")" for phrases in wanted.groups
    )


def _phrase_query(phrase: Phrase) -> str:
    quoted = [_quoted(_storable(term)) for term in phrase]
    return "(" + " <-> ".join(quoted) + ("" if isinstance(phrase, Whole) else ":*") + ")"


def _as_written(phrase: Phrase) -> str:
    """Return what a text column with such a phrase has in it."""
    return f" {' '.join(map(_storable, phrase))}" + (" " if isinstance(phrase, Whole) else "")


def _quoted(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
