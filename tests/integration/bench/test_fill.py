"""`make fill` works with the current schema: it fills a small mailbox and requests every page."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.unit.docs.blocks import ROOT

SERVER = os.environ.get("TEST_DATABASE_URL", "")
PROGRAM = """
import os
import sys
from pathlib import Path

from bench import fill

os.environ |= fill.environment(sys.argv[1], Path(sys.argv[2]))

import django

django.setup()

from bench import fill_mailbox, fill_received, fill_report

fill_received.ORIGINALS = 360  # half of them; SQL copies the rest
fill_mailbox.make(600, 600)
fill_report.show(2, "")
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.every_database,  # although it uses one of its own
    pytest.mark.timeout(600),
    pytest.mark.skipif("postgres" not in SERVER, reason="the mailbox is filled in PostgreSQL"),
]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database of the server under test."""
    name = f"fill_{secrets.token_hex(4)}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        before, _, query = SERVER.partition("?")
        yield f"{before.rpartition('/')[0]}/{name}?{query}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_small_mailbox_is_filled_and_measured(database: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "| Preferences |" in done.stdout
