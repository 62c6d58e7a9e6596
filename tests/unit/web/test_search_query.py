"""The search line: parsing, writing and errors."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.web.search.query import OPERATORS, Query, read_query, unknown_operators

LINES = [
    ("", Query()),
    ("invoice", Query(words=("invoice",))),
    ("annual report", Query(words=("annual", "report"))),
    ('"annual report"', Query(words=("annual report",))),
    ("to:jane", Query(to=("jane",))),
    ("TO:Jane to:joe", Query(to=("Jane", "joe"))),
    ('to:"Joe Doe" x', Query(to=("Joe Doe",), words=("x",))),
    ("from:anna subject:figures", Query(sender=("anna",), subject=("figures",))),
    ("body:hello", Query(body=("hello",))),
    ("subject：数字", Query(subject=("数字",))),  # as a Chinese keyboard writes it
    ("code:550", Query(code="550")),
    ("code:5.1", Query(code="5.1")),
    ("code:5.1.", Query(code="5.1")),
    ("code:5", Query(code="5")),
    ("code:5.", Query(code="5")),
    ("id:<a@example.com>", Query(message_id="a@example.com")),
    ("is:failed", Query(state="failed")),
    ("is:Bounced", Query(state="bounced")),
    ("in:sent", Query(folder="sent")),
    ("has:attachment", Query(has_files=True)),
    ("tag:invoice", Query(tag=("invoice",))),
    ("after:2026-11-24", Query(after=dt.date(2026, 11, 24))),
    ("before:2026-11", Query(before=dt.date(2026, 11, 1))),
    ("before:2026", Query(before=dt.date(2026, 1, 1))),
    ("https://example.com/x", Query(words=("https://example.com/x",))),
    ("14:30", Query(words=("14:30",))),
    ("domain:example.com", Query(to=("@example.com",))),
    ("domain:@example.com", Query(to=("@example.com",))),
    ("since:2026-11-24", Query(after=dt.date(2026, 11, 24))),
    ("until:2026-11", Query(before=dt.date(2026, 11, 1))),
    ("Re:", Query(words=("Re:",))),
    ('""', Query()),
    ('"unclosed phrase', Query(words=("unclosed phrase",))),
]  # fmt: skip


@pytest.mark.parametrize(("line", "query"), LINES)
def test_a_line_is_read(line: str, query: Query) -> None:
    assert read_query(line) == (query, [])


@pytest.mark.parametrize(("line", "query"), LINES)
def test_what_is_written_is_read_again(line: str, query: Query) -> None:
    assert read_query(str(query)) == (query, [])


WRONG = [
    ("code:999", "“code:999” is not a reply code"),
    ("code:abc", "is not a reply code"),
    ("before:tomorrow", "“tomorrow” is not a date"),
    ("after:2026-02-30", "“2026-02-30” is not a date"),
    ("is:gone", "“is:gone” is not a state"),
    ("in:nowhere", "“in:nowhere” is not a folder"),
    ("has:wings", "“has:wings” is not supported"),
]


@pytest.mark.parametrize("name", sorted({*OPERATORS, "since", "until", "TO"}))
@pytest.mark.parametrize("value", ["", '""', '" "'])
def test_operator_without_a_value_is_an_error(name: str, value: str) -> None:
    query, wrong = read_query(f"invoice {name}:{value}")
    assert query == Query(words=("invoice",))
    assert wrong == [f"“{name.lower()}:” needs a value directly after the colon."]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("label:jane size:2 label:x", ["label", "size"]),
        ("newer:2026", ["newer"]),
        ("to:jane subject:x since:2026 domain:example.com", []),
        ("https://example.com 14:30 Re:", []),
    ],
)
def test_unknown_operators_are_named(line: str, names: list[str]) -> None:
    assert unknown_operators(line) == names


@pytest.mark.parametrize(("line", "error"), WRONG)
def test_an_invalid_value_is_an_error(line: str, error: str) -> None:
    query, wrong = read_query(f"{line} invoice")
    assert query.words == ("invoice",)
    assert [error in text for text in wrong] == [True]


@given(st.text(max_size=80))
def test_any_line_can_be_read_and_what_is_read_can_be_written(line: str) -> None:
    query, _wrong = read_query(line)
    again, wrong = read_query(str(query))
    assert wrong == []
    assert again == query
