"""`make test` ends with one summary, and fails when anything in it did."""

from pathlib import Path

import pytest

from dev.test import STAGES, Result, Stage, next_of, read, summary

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" time="1.5">
  <testcase name="test_one"/>
  <testcase name="test_two"><failure message="no"/></testcase>
  <testcase name="test_three"><error message="its fixture failed"/></testcase>
  <testcase name="test_four"><skipped message="no Chromium found"/></testcase>
  <testcase name="test_five"><skipped message="no Chromium found"/></testcase>
</testsuite></testsuites>
"""
UNIT = STAGES[0]


def test_it_counts_what_pytest_reported(tmp_path: Path) -> None:
    report = tmp_path / "unit.xml"
    report.write_text(REPORT)
    result = read(UNIT, report)
    assert (result.passed, result.failed, result.skipped) == (1, 2, 2)
    assert result.seconds == 1.5
    assert result.reasons == {"no Chromium found": 2}


@pytest.mark.parametrize(
    ("results", "code"),
    [
        pytest.param([Result(UNIT, passed=3)], 0, id="all passed"),
        pytest.param([Result(UNIT, passed=3, skipped=1)], 0, id="some were skipped"),
        pytest.param([Result(UNIT, passed=3), Result(UNIT, failed=1)], 1, id="one stage failed"),
        pytest.param([Result(UNIT)], 1, id="nothing ran"),
    ],
)
def test_it_fails_when_anything_failed_or_nothing_ran(results: list[Result], code: int) -> None:
    assert summary(results) == code


def test_it_says_why_tests_were_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(UNIT, passed=1, skipped=2)
    result.reasons["no Chromium found"] = 2
    summary([result])
    said = capsys.readouterr().out
    assert "unit: 2 skipped, no Chromium found" in said
    assert said.splitlines()[-1] == "1 passed, 0 failed, 2 skipped"


def test_two_stages_on_one_postgresql_wait_for_each_other() -> None:
    """They would make, and drop, the same test database."""
    on_sqlite, on_postgres, also = (
        Stage(name, (), database)
        for name, database in [("a", "sqlite"), ("b", "postgresql"), ("c", "postgresql")]
    )
    assert next_of([on_postgres, on_sqlite], [also]) == on_sqlite
    assert next_of([on_postgres], [also]) is None
    assert next_of([on_postgres], [on_sqlite]) == on_postgres
