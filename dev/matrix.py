"""`make matrix`: run the suite on the versions that `make test` does not cover."""

import argparse
import json
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".cache" / "reports"


# What depends on the version of Django or Python most.
DEPENDENT = (
    "importing",
    "integration/admin",
    "integration/backend",
    "integration/checks",
    "integration/commands",
    "integration/db",
    "integration/models",
    "integration/signals",
    "integration/signin",
    "integration/site",
    "integration/smtp",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A version of Django, its versions of Python (the first one found is used), and the tests."""

    django: str
    pythons: tuple[str, ...]
    folders: tuple[str, ...] = ("unit", "importing", "integration")

    @property
    def name(self) -> str:
        """The name of its session in noxfile.py."""
        return f"django-{self.django}"

    @property
    def paths(self) -> list[str]:
        """The folders of its tests."""
        return [f"tests/{folder}" for folder in self.folders]

    @property
    def is_here(self) -> bool:
        """Whether this environment has these versions, so that `make test` covers them."""
        here = ".".join(platform.python_version_tuple()[:2])
        return here in self.pythons and django.get_version().startswith(f"{self.django}.")


ROWS = (
    Row("5.2", ("3.11",)),
    # The email package of early 3.12 raises IndexError for what Django 6.0 asks of it.
    Row("6.0", ("3.13", "3.12", "3.14"), DEPENDENT),
    Row("6.1", ("3.13", "3.12", "3.14"), ("unit", *DEPENDENT)),
)
OUTCOMES = {"success": "passed", "skipped": "not run: this Python is not installed"}


def main() -> None:
    """Run the rows and list the results; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(prog="dev.matrix", description=__doc__)
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    rows = [row for row in ROWS if not row.is_here]
    outcomes = run(rows, options.pytest)
    print("\nThe matrix:")
    print(f"  Python {platform.python_version()}, Django {django.get_version()}: `make test`")
    for row in rows:
        print(f"  Python {' or '.join(row.pythons)}, Django {row.django}: {outcomes[row.name]}")
    sys.exit("failed" in outcomes.values())


def run(rows: list[Row], arguments: list[str]) -> dict[str, str]:
    """Run a nox for each row, all at once; return the outcome of each, by the session's name."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(ROWS)) as threads:
        return dict(threads.map(lambda row: (row.name, run_row(row, arguments)), rows))


def run_row(row: Row, arguments: list[str]) -> str:
    """Run the tests of a row, print its output at the end, and return the outcome."""
    report = REPORTS / f"{row.name}.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "nox", "--report", str(report), "--session", row.name]
    command += ["--no-error-on-missing-interpreters", "--", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(f"\n— {row.name}\n{done.stdout}", flush=True)
    if not report.exists():
        return "failed"
    (session,) = json.loads(report.read_text())["sessions"]
    return OUTCOMES.get(session["result"], "failed")


if __name__ == "__main__":
    main()
