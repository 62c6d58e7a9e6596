"""Rows of a model with few of its fields, for statements that read thousands of rows."""

from collections.abc import Sequence
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.db.models.base import ModelState

Row = TypeVar("Row", bound=Model)


def read_partly(rows: QuerySet[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows with these columns and the key; the others are read when they are used.

    `only()` does the same, but looks at every field of the model for every row: that was most of
    what a bulk operation computed in Python. The signals of `__init__` are not sent.
    """
    model, key = rows.model, rows.model._meta.pk.attname
    columns = (key, *names)
    found: list[Row] = []
    for values in rows.values_list(*columns):
        row = model.__new__(model)
        row.__dict__.update(zip(columns, values, strict=True))
        row._state = ModelState()
        row._state.adding, row._state.db = False, rows.db
        found.append(row)
    return found
