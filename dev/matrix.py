"""`make matrix`: the rows of the matrix that `make test` does not run, and a list of what ran."""

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / ".cache" / "reports" / "matrix.json"


@dataclass(frozen=True, slots=True)
class Row:
    """A Django, the Pythons to run it on (the first that is found), and what is run."""

    django: str
    pythons: tuple[str, ...]
    folders: tuple[str, ...] = ("tests/unit", "tests/integration", "tests/importing")

    @property
    def name(self) -> str:
        """The name of its session in noxfile.py."""
        return f"django-{self.django}"

    @property
    def is_here(self) -> bool:
        """Tell whether this environment is it, so that `make test` runs it and more."""
        here = ".".join(platform.python_version_tuple()[:2])
        return here in self.pythons and django.get_version().startswith(f"{self.django}.")


ROWS = (
    Row("5.2", ("3.11",)),
    # The email package of early 3.12 raises IndexError for what Django 6.0 asks of it.
    Row("6.0", ("3.13", "3.12", "3.14")),
    Row("6.1", ("3.13", "3.12", "3.14")),
)
OUTCOMES = {"success": "passed", "skipped": "not run: there is no such Python here"}


def main() -> None:
    """Run them and say which ran; exit with 1 when one failed."""
    parser = argparse.ArgumentParser(prog="dev.matrix", description=__doc__)
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    rows = [row for row in ROWS if not row.is_here]
    outcomes = run(rows, options.pytest)
    print("\nThe matrix:")
    print(f"  Python {platform.python_version()}, Django {django.get_version()}: `make test`")
    for row in rows:
        outcome = outcomes.get(row.name, "failed")
        print(f"  Python {' or '.join(row.pythons)}, Django {row.django}: {outcome}")
    sys.exit("failed" in outcomes.values() or len(outcomes) < len(rows))


def run(rows: list[Row], arguments: list[str]) -> dict[str, str]:
    """Run nox; return what came of each session, by its name."""
    if not rows:
        return {}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    sessions = [row.name for row in rows]
    command = [sys.executable, "-m", "nox", "--report", str(REPORT), "--session", *sessions]
    command += ["--no-error-on-missing-interpreters"]
    subprocess.run([*command, "--", *arguments], cwd=ROOT, check=False)
    if not REPORT.exists():
        return {}
    told = json.loads(REPORT.read_text())["sessions"]
    return {one["name"]: OUTCOMES.get(one["result"], "failed") for one in told}


if __name__ == "__main__":
    main()
