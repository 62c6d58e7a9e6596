"""`make test`: the suite in stages, on both databases, with one summary at the end.

    python -m dev.test [--stage NAME …] [-- PYTEST-ARGUMENT …]

Unit tests run once; integration and acceptance tests on SQLite, and those that use a database again
on PostgreSQL ("acceptance": real processes, on SQLite; "crashes": the same on PostgreSQL, where
that is killed too); browser tests once, and so the wheel in a project of its own.
TEST_DATABASE_URL, where given, takes the place of the PostgreSQL started here.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dev.postgres_server import FORGETFUL, postgres_server
from dev.processes import Process, StartError

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".cache" / "reports"
AT_A_TIME = 3
NO_TESTS = 5  # pytest's exit code when it collected nothing


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of pytest."""

    name: str
    folders: tuple[str, ...]
    database: str  # "sqlite" or "postgresql"


STAGES = (
    Stage("unit", ("tests/unit",), "sqlite"),
    Stage("browser", ("tests/browser",), "sqlite"),
    Stage("postgresql", ("tests/integration", "tests/importing"), "postgresql"),
    Stage("sqlite", ("tests/integration", "tests/importing"), "sqlite"),
    Stage("acceptance", ("tests/acceptance",), "sqlite"),
    Stage("crashes", ("tests/acceptance", "tests/crash"), "postgresql"),
    Stage("package", ("tests/package",), "sqlite"),
)


@dataclass(slots=True)
class Result:
    """What one stage came to, read from pytest's own report."""

    stage: Stage
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of the skipped


def main() -> None:
    """Run the stages asked for, all of them by default; exit with 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="dev.test", description="Run the suite.")
    parser.add_argument("--stage", action="append", choices=[stage.name for stage in STAGES])
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    stages = [stage for stage in STAGES if not options.stage or stage.name in options.stage]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with postgres_url(stages) as url:
            results = run(stages, options.pytest, url)
    except (StartError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "Interrupted.")
    sys.exit(summary(results))


@contextlib.contextmanager
def postgres_url(stages: list[Stage]) -> Iterator[str]:
    """Give the URL of a PostgreSQL: the one named, else one started for as long as needed."""
    named = os.environ.get("TEST_DATABASE_URL", "")
    if named or all(stage.database != "postgresql" for stage in stages):
        yield named
        return
    with postgres_server(options=FORGETFUL) as server:
        yield server.url


def run(stages: list[Stage], arguments: list[str], postgres: str) -> list[Result]:
    """Run the stages, some at a time: they wait more than they compute. Results come in order."""
    running: list[tuple[Stage, Process]] = []
    results: dict[Stage, Result] = {}
    waiting = list(stages)
    try:
        while waiting or running:
            while len(running) < AT_A_TIME and (
                stage := next_of(waiting, [stage for stage, _ in running])
            ):
                waiting.remove(stage)
                running.append((stage, start(stage, arguments, postgres, alone=len(stages) == 1)))
            time.sleep(0.1)
            for stage, process in [pair for pair in running if pair[1].returncode is not None]:
                running.remove((stage, process))
                results[stage] = finish(stage, process)
    finally:
        for _, process in running:
            process.stop()
    return [results[stage] for stage in stages]


def next_of(waiting: list[Stage], running: list[Stage]) -> Stage | None:
    """Return the next stage that may start: two would make the same database on one server."""
    if any(stage.database == "postgresql" for stage in running):
        waiting = [stage for stage in waiting if stage.database != "postgresql"]
    return waiting[0] if waiting else None


def start(stage: Stage, arguments: list[str], postgres: str, *, alone: bool) -> Process:
    """Start pytest on one stage, with a database of its own; alone, it writes to the terminal."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    report, said = report_of(stage), said_by(stage)
    report.unlink(missing_ok=True)
    on_postgres = stage.database == "postgresql"
    named = any(argument.startswith("tests/") for argument in arguments)
    folders = () if named else stage.folders
    options = [f"--junitxml={report}", *(["--database-tests-only"] if on_postgres else [])]
    print(f"— {stage.name}: started", flush=True)
    with contextlib.nullcontext() if alone else said.open("wb") as output:
        return Process(
            [sys.executable, "-m", "pytest", *folders, *options, *arguments],
            environment=os.environ | {"TEST_DATABASE_URL": postgres if on_postgres else ""},
            output=output,
            cwd=ROOT,
            stop_signal=signal.SIGINT,
        )


def finish(stage: Stage, process: Process) -> Result:
    """Show what an ended stage has said, and read what it came to."""
    process.kill()
    said = said_by(stage)
    if said.exists():
        print(f"\n— {stage.name}\n{said.read_text(errors='replace')}", flush=True)
        said.unlink()
    result = read(stage, report_of(stage))
    if process.returncode not in {0, NO_TESTS} and not result.failed:
        result.failed = 1  # it crashed, was interrupted, or could not even collect
    return result


def report_of(stage: Stage) -> Path:
    """Return where pytest writes its report."""
    return REPORTS / f"{stage.name}.xml"


def said_by(stage: Stage) -> Path:
    """Return where its output waits for its end."""
    return REPORTS / f"{stage.name}.txt"


def read(stage: Stage, report: Path) -> Result:
    """Read pytest's report; a missing one is an empty result."""
    result = Result(stage)
    if not report.exists():
        return result
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314  # pytest wrote it
        result.seconds += float(suite.get("time", 0))
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314  # pytest wrote it
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            result.failed += 1
        elif (skipped := case.find("skipped")) is not None:
            result.skipped += 1
            result.reasons[skipped.get("message", "")] += 1
        else:
            result.passed += 1
    return result


def summary(results: list[Result]) -> int:
    """Print what ran, what was skipped and why; return the exit code."""
    print(f"\n{'':14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for result in results:
        counts = f"{result.passed:8}{result.failed:8}{result.skipped:9}{result.seconds:9.1f}"
        print(f"{result.stage.name:14}{counts}")
    for result in results:
        for reason, count in result.reasons.items():
            print(f"{result.stage.name}: {count} skipped, {reason}")
    passed, failed, skipped = (
        sum(getattr(result, name) for result in results) for name in ("passed", "failed", "skipped")
    )
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    main()
