"""Every kind of kill once, on real processes: a short run of `make kills`, judged alike.

It brings a PostgreSQL of its own, which it crashes; so it runs once, in that database's stage.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.crash.director import Deed
from tests.crash.points import Point, WebPoint

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 240  # seconds; a quiet machine needs a fifth of it

pytestmark = [pytest.mark.every_database, pytest.mark.timeout(WITHIN + 30)]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the judge found after one short run."""
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


@pytest.mark.parametrize("kind", [*Point, *WebPoint, *Deed])
def test_it_was_killed_there(kind: str, verdict: dict[str, Any]) -> None:
    kills = {line["kind"]: line["kills"] for line in verdict["lines"]}
    assert kills.get(kind, 0) >= 1


def test_nothing_is_lost(verdict: dict[str, Any]) -> None:
    """Protocol item 97."""
    assert verdict["counts"]["recipients sent"] > 500, "hardly any mail was under way"
    assert sum(line["lost"] for line in verdict["lines"]) == 0, verdict["findings"]


def test_no_second_copy_leaves_unmarked(verdict: dict[str, Any]) -> None:
    assert sum(line["unmarked"] for line in verdict["lines"]) == 0, verdict["findings"]


def test_no_kill_leaves_more_uncertain_than_it_had_connections(verdict: dict[str, Any]) -> None:
    for line in verdict["lines"]:
        assert line["most"] <= line["connections"], line


def test_the_judge_finds_nothing_else(verdict: dict[str, Any]) -> None:
    """Among it: cancelled is unsent, a poisoned mail is held, no row contradicts another."""
    assert verdict["findings"] == []
