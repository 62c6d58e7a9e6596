"""A short run of the crash tests: every kind of kill once, on real processes.

The run starts and crashes a PostgreSQL of its own, so it belongs to that database's stage.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.crash.points import Point, WebPoint
from tests.crash.scheduler import ExternalKill

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 480  # seconds; a quiet machine needs a tenth of it

pytestmark = [pytest.mark.every_database, pytest.mark.timeout(WITHIN + 30)]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the verdict on one short run."""
    if connection.vendor != "postgresql":
        pytest.skip("it crashes a PostgreSQL of its own, and runs in that database's stage")
    file = tmp_path_factory.mktemp("kills") / "verdict.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--scale", "short", "--json", str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert file.exists(), f"it ended with {done.returncode}:\n{done.stdout[-4000:]}"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_each_kill_happens(verdict: dict[str, Any]) -> None:
    happened = {line["kind"] for line in verdict["lines"] if line["kills"]}
    assert {*Point, *WebPoint, *ExternalKill} - happened == set()


def test_nothing_is_lost(verdict: dict[str, Any]) -> None:
    """Protocol item 97."""
    assert verdict["counts"]["recipients sent"] > 500, "too few messages to prove anything"
    assert sum(line["lost"] for line in verdict["lines"]) == 0, verdict["findings"]


def test_no_second_copy_without_an_uncertain_mark(verdict: dict[str, Any]) -> None:
    assert sum(line["unmarked"] for line in verdict["lines"]) == 0, verdict["findings"]


def test_a_kill_leaves_at_most_one_uncertain_attempt_per_connection(
    verdict: dict[str, Any],
) -> None:
    for line in verdict["lines"]:
        assert line["most"] <= line["connections"], line


def test_the_judge_has_no_other_findings(verdict: dict[str, Any]) -> None:
    """Cancelled messages are unsent, unreadable messages are held, and rows are consistent."""
    assert verdict["findings"] == []
