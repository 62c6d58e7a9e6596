"""No exported cell is a formula to a spreadsheet."""

import datetime as dt

import pytest

from outbox.api.csv_files import cell, uncell


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\u00a0=1"]
)
def test_a_formula_is_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("Invoice = paid", "Invoice = paid"),
        (550, "550"),
        (["a", "b"], "a, b"),
        (["=1"], "'=1"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
    ],
)
def test_other_values_are_unchanged(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize("text", ["=x", "'=x", "''=x", "'x", "x", "' =x", "", "'", "''"])
def test_an_exported_text_is_imported_unchanged(text: str) -> None:
    assert uncell(cell(text)) == text
