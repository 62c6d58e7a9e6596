"""Django's test suite for email passes against the outbox. tests/djangosuite lists the exemptions.

It runs on the installed Django and, if a newer Python is found, on the next one.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.djangosuite.interpreters import ROOT, find_newer, this_one, with_next_django

# Fewer would mean that the suite was not found or not run.
TESTS_AT_LEAST = {"5.2": 120, "6.1": 290}

# The first run fetches an archive and fills an environment.
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def next_django() -> Path:
    found = find_newer()
    if found is None:
        pytest.skip("no Python 3.12 or newer was found for Django 6.1")
    return with_next_django(found)


def run(python: Path, module: str, *arguments: str) -> str:
    """Return the output of a module that must not fail."""
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("choose", [this_one, next_django], ids=["this Django", "the next Django"])
def test_djangos_own_email_suite_passes(choose: Callable[[], Path]) -> None:
    python = choose()
    version = ".".join(run(python, "django", "--version").split(".")[:2])

    ran = re.search(r"Ran (\d+) tests", run(python, "tests.djangosuite"))

    assert ran is not None
    assert int(ran[1]) >= TESTS_AT_LEAST[version]


def test_our_own_tests_of_the_backend_pass_on_the_next_django() -> None:
    tests = ("backend", "checks")

    run(
        next_django(),
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(f"tests/integration/{name}" for name in tests),
    )
