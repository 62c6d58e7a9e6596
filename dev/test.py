"""`make test`: the suite in stages, on both databases, with one summary at the end.

    python -m dev.test [--stage NAME …] [-- PYTEST-ARGUMENT …]

Each test runs once, with a selection of its cases: on PostgreSQL if it uses a database, on SQLite
if it tests pages or uses none ("acceptance": real processes, on SQLite; "crashes": the same on
PostgreSQL, which is killed as well). Those marked "every_database" run on both, and `make
databases` runs the others on the database that they have not seen. TEST_DATABASE_URL replaces the
PostgreSQL that is started here.
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
AT_A_TIME = 4  # more than there are processors, since tests mostly wait
NO_TESTS = 5  # pytest's exit code when it collected nothing


@dataclass(frozen=True, slots=True)
class Stage:
    """One run of pytest."""

    name: str
    folders: tuple[str, ...]
    database: str  # "sqlite" or "postgresql"
    is_divided: bool = False  # between the databases
    without: tuple[str, ...] = ()  # folders of another stage

    @property
    def options(self) -> list[str]:
        """Return its options for pytest."""
        part = ["--part", self.database] if self.is_divided else []
        ignored = [f"--ignore={folder}" for folder in self.without]
        return [f"--junitxml={report_of(self)}", *part, *ignored]


DELIVERY = "tests/integration/delivery"  # mostly waits for servers
WEB = "tests/integration/web"
INTEGRATION = ("tests/integration", "tests/importing")

# In the order of their start: the longest first.
STAGES = (
    Stage("browser", ("tests/browser",), "sqlite"),
    Stage("pages", (WEB,), "sqlite", is_divided=True),
    Stage("delivery", (DELIVERY,), "postgresql", is_divided=True),
    Stage("postgresql", INTEGRATION, "postgresql", is_divided=True, without=(DELIVERY,)),
    Stage("sqlite", INTEGRATION, "sqlite", is_divided=True, without=(WEB,)),
    Stage("crashes", ("tests/acceptance", "tests/crash"), "postgresql", is_divided=True),
    Stage("unit", ("tests/unit",), "sqlite"),
    Stage("package", ("tests/package",), "sqlite"),
    Stage("acceptance", ("tests/acceptance",), "sqlite", is_divided=True),
)


@dataclass(slots=True)
class Result:
    """The result of one stage, from pytest's report."""

    stage: Stage
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of the skipped


def main() -> None:
    """Run the given stages, by default all of them; exit with 1 if a test failed."""
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
    """Yield the URL of a PostgreSQL: the given one, else a temporary one."""
    named = os.environ.get("TEST_DATABASE_URL", "")
    if named or all(stage.database != "postgresql" for stage in stages):
        yield named
        return
    with postgres_server(options=FORGETFUL) as server:
        yield server.url


def run(stages: list[Stage], arguments: list[str], postgres: str) -> list[Result]:
    """Run some stages in parallel, since they mostly wait; return their results in order."""
    running: list[tuple[Stage, Process]] = []
    results: dict[Stage, Result] = {}
    waiting = list(stages)
    try:
        while waiting or running:
            while waiting and len(running) < AT_A_TIME:
                stage = waiting.pop(0)
                running.append((stage, start(stage, arguments, postgres, alone=len(stages) == 1)))
            time.sleep(0.1)
            for stage, process in [pair for pair in running if pair[1].returncode is not None]:
                running.remove((stage, process))
                results[stage] = finish(stage, process)
    finally:
        for _, process in running:
            process.stop()
    return [results[stage] for stage in stages]


def start(stage: Stage, arguments: list[str], postgres: str, *, alone: bool) -> Process:
    """Start pytest for one stage; a single stage uses the terminal."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    log = log_of(stage)
    report_of(stage).unlink(missing_ok=True)
    # Each stage has its own database on the server.
    database = {
        "TEST_DATABASE_URL": postgres if stage.database == "postgresql" else "",
        "TEST_DATABASE_NAME": f"test_{stage.name}",
    }
    named = any(argument.startswith("tests/") for argument in arguments)
    folders = () if named else (*stage.folders, "--selection")
    print(f"— {stage.name}: started", flush=True)
    with contextlib.nullcontext() if alone else log.open("wb") as output:
        return Process(
            [sys.executable, "-m", "pytest", *folders, *stage.options, *arguments],
            environment=environment() | database,
            output=output,
            cwd=ROOT,
            stop_signal=signal.SIGINT,
        )


def environment() -> dict[str, str]:
    """Return the environment of the tests, in which Python stores compiled modules.

    The tests start hundreds of processes, and each would compile the sources again.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def finish(stage: Stage, process: Process) -> Result:
    """Print the output of a finished stage, and return its result."""
    process.kill()
    log = log_of(stage)
    if log.exists():
        print(f"\n— {stage.name}\n{log.read_text(errors='replace')}", flush=True)
        log.unlink()
    result = read(stage, report_of(stage))
    if process.returncode not in {0, NO_TESTS} and not result.failed:
        result.failed = 1  # a crash, an interrupt, or an error during the collection
    return result


def report_of(stage: Stage) -> Path:
    """Return the path of pytest's report."""
    return REPORTS / f"{stage.name}.xml"


def log_of(stage: Stage) -> Path:
    """Return the path of the stage's output."""
    return REPORTS / f"{stage.name}.txt"


def read(stage: Stage, report: Path) -> Result:
    """Return the result in pytest's report; a missing report is an empty result."""
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
    """Print the results and the reasons of skipped tests; return the exit code."""
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
