"""CSV files that spreadsheets open: no cell is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# A spreadsheet runs a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
CSV_TYPE = "text/csv; charset=utf-8"
_UTF8 = "\ufeff"  # without this mark, Excel takes the file for one in a local encoding


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file. No cell is a formula."""
    line = io.StringIO()
    writer = csv.writer(line)
    for values in _with_head(columns, rows):
        writer.writerow(values)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _with_head(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    yield [f"{_UTF8}{columns[0]}", *columns[1:]]
    for row in rows:
        yield [cell(row[name]) for name in columns]


def cell(value: Any) -> str:
    """Return a value as a spreadsheet shows it, never as a formula."""
    if value is None:
        return ""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    text = str(value)
    bare = text.lstrip("'")  # one that has the mark already gets another, which `uncell` removes
    begins = bare.lstrip(" \u00a0").startswith(_FORMULA)
    return f"'{text}" if begins or bare[:1] in _FORMULA else text


def uncell(text: str) -> str:
    """Return what `cell` made this text of: without the mark before a formula."""
    return text[1:] if text.startswith("'") and cell(text[1:]) == text else text
