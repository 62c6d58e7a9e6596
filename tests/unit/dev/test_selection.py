"""The cases of a test that `make test` runs, and those that it leaves to `make system`."""

from dataclasses import dataclass
from typing import cast

import pytest

from tests.conftest import CASES, not_selected


@dataclass(frozen=True)
class Case:
    nodeid: str
    marker: str = ""

    def get_closest_marker(self, name: str) -> str | None:
        return self.marker if self.marker == name else None


def selected(cases: list[Case]) -> list[Case]:
    others = cast("set[Case]", not_selected(cast("list[pytest.Item]", cases)))
    return [case for case in cases if case not in others]


def cases_of(test: str, count: int, marker: str = "") -> list[Case]:
    return [Case(f"{test}[{number}]", marker) for number in range(count)]


@pytest.mark.parametrize("count", [1, 2, CASES])
def test_a_few_cases_are_all_selected(count: int) -> None:
    cases = cases_of("tests/integration/test_a.py::test_a", count)
    assert selected(cases) == cases


def test_of_many_cases_a_few_are_selected_evenly_spaced() -> None:
    cases = cases_of("tests/integration/test_a.py::test_a", 10)
    assert selected(cases) == [cases[place] for place in (0, 3, 6, 9)]


def test_each_test_has_a_selection_of_its_own() -> None:
    first = cases_of("tests/integration/test_a.py::test_a", 10)
    second = cases_of("tests/integration/test_a.py::test_b", 10)
    assert len(selected([*first, *second])) == 2 * CASES


def test_tests_without_servers_and_marked_tests_run_all_their_cases() -> None:
    plain = cases_of("tests/unit/test_a.py::test_a", 10)
    marked = cases_of("tests/integration/test_a.py::test_a", 10, "every_case")
    assert selected([*plain, *marked]) == [*plain, *marked]
