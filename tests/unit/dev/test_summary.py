"""`make test` ends with one summary, and fails when anything in it did."""

from pathlib import Path

import pytest

from dev.test import STAGES, Result, read, summary

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" time="1.5">
  <testcase name="test_one"/>
  <testcase name="test_two"><failure message="no"/></testcase>
  <testcase name="test_three"><error message="its fixture failed"/></testcase>
  <testcase name="test_four"><skipped message="no Chromium found"/></testcase>
  <testcase name="test_five"><skipped message="no Chromium found"/></testcase>
</testsuite></testsuites>
"""
STAGE = next(stage for stage in STAGES if stage.name == "unit")


def test_it_counts_what_pytest_reported(tmp_path: Path) -> None:
    report = tmp_path / "unit.xml"
    report.write_text(REPORT)
    result = read(STAGE, report)
    assert (result.passed, result.failed, result.skipped) == (1, 2, 2)
    assert result.seconds == 1.5
    assert result.reasons == {"no Chromium found": 2}


@pytest.mark.parametrize(
    ("results", "code"),
    [
        pytest.param([Result(STAGE, passed=3)], 0, id="all passed"),
        pytest.param([Result(STAGE, passed=3, skipped=1)], 0, id="some were skipped"),
        pytest.param([Result(STAGE, passed=3), Result(STAGE, failed=1)], 1, id="one stage failed"),
        pytest.param([Result(STAGE)], 1, id="nothing ran"),
    ],
)
def test_it_fails_when_anything_failed_or_nothing_ran(results: list[Result], code: int) -> None:
    assert summary(results) == code


def test_it_says_why_tests_were_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    result = Result(STAGE, passed=1, skipped=2)
    result.reasons["no Chromium found"] = 2
    summary([result])
    said = capsys.readouterr().out
    assert "unit: 2 skipped, no Chromium found" in said
    assert said.splitlines()[-1] == "1 passed, 0 failed, 2 skipped"
