"""What changed between two texts."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.mail.difference import MAX_LINES, Kind, Row, difference

lines = st.lists(st.sampled_from(["a", "ab", "b", ""]), max_size=12)


def test_the_same_has_no_difference() -> None:
    assert difference(["a", "b"], ["a", "b"]) == []


def test_it_lists_removed_and_added_lines() -> None:
    assert difference(["a", "b"], ["b", "cd"]) == [
        Row(Kind.REMOVED, changed="a"),
        Row(Kind.SAME, "b"),
        Row(Kind.ADDED, changed="cd"),
    ]


def test_in_a_touched_line_it_sets_apart_what_was_touched() -> None:
    assert difference(["See you on Monday at 9."], ["See you on Sunday at 9."]) == [
        Row(Kind.REMOVED, "See you on ", "Mo", "nday at 9."),
        Row(Kind.ADDED, "See you on ", "Su", "nday at 9."),
    ]


def test_another_line_altogether_is_not_taken_apart() -> None:
    assert difference(["apples"], ["another one"]) == [
        Row(Kind.REMOVED, changed="apples"),
        Row(Kind.ADDED, changed="another one"),
    ]


def test_it_only_counts_what_is_far_from_any_change() -> None:
    old = [f"{n}" for n in range(20)]
    rows = difference(old, [*old[:10], "new", *old[10:]])
    assert [row.kind for row in rows] == [
        "skipped",
        *["same"] * 3,
        "added",
        *["same"] * 3,
        "skipped",
    ]
    assert [row.count for row in rows if row.kind is Kind.SKIPPED] == [7, 7]


@given(lines, lines)
def test_both_texts_can_be_read_back_from_it(old: list[str], new: list[str]) -> None:
    rows = difference(old, new)
    if any(row.kind is Kind.SKIPPED for row in rows):
        return

    def read(*kinds: Kind) -> list[str]:
        return [row.before + row.changed + row.after for row in rows if row.kind in kinds]

    if old != new:
        assert read(Kind.SAME, Kind.REMOVED) == old
        assert read(Kind.SAME, Kind.ADDED) == new


def test_it_marks_where_the_comparison_was_cut() -> None:
    old, new = ([f"{side}{n}" for n in range(MAX_LINES + 1)] for side in "ab")
    rows = difference(["x", *old, "y"], ["x", *new, "y"])
    assert rows[-1] == Row(Kind.CUT)
    assert sum(row.kind is Kind.ADDED for row in rows) == MAX_LINES


def test_a_small_change_in_a_huge_text_is_found() -> None:
    old = [f"{n}" for n in range(100_000)]
    new = [*old[:50_000], "new", *old[50_000:]]
    assert Row(Kind.ADDED, changed="new") in difference(old, new)


@pytest.mark.parametrize("words", [1, 40, 199], ids=["all the same", "popular", "just not popular"])
@pytest.mark.parametrize("length", [199, 500])
def test_texts_made_to_be_slow_are_not(words: int, length: int) -> None:
    random.seed(1)
    old, new = ([str(random.randrange(words)) for _ in range(length)] for _ in "ab")  # noqa: S311  no secret
    began = time.process_time()
    difference(["x", *old], ["y", *new])
    assert time.process_time() - began < 3
