"""The suite is divided between the databases, and no test is left out."""

import subprocess
import sys

import pytest

from tests.unit.docs.blocks import ROOT

NO_DATABASE = "tests/integration/smtp/test_tls.py"
PAGE = "tests/integration/web/test_access.py"
EVERY_DATABASE = "tests/integration/web/test_search.py"
OTHER = "tests/integration/db/test_bulk.py"


@pytest.mark.system
@pytest.mark.parametrize(
    ("options", "files"),
    [
        (["--part=postgresql"], {EVERY_DATABASE, OTHER}),
        (["--part=postgresql", "--other-database"], {PAGE}),
        (["--part=sqlite"], {NO_DATABASE, PAGE, EVERY_DATABASE}),
        (["--part=sqlite", "--other-database"], {OTHER}),
        ([], {NO_DATABASE, PAGE, EVERY_DATABASE, OTHER}),
        (["--system"], {PAGE, EVERY_DATABASE}),
    ],
)
def test_each_database_sees_each_test(options: list[str], files: set[str]) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", *options]
    done = subprocess.run(
        [*command, NO_DATABASE, PAGE, EVERY_DATABASE, OTHER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert {line.partition(":")[0] for line in lines if line.startswith("tests/")} == files
