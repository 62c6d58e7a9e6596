"""The first migration is frozen: databases exist that were created by it."""

import hashlib
from pathlib import Path

import outbox

MIGRATIONS = Path(outbox.__file__).parent / "migrations"
FROZEN = {
    "0001_tables.py": "818fc2d7ff0dffaba1764c20a22fb3c6c6116969fd27da966b3c69d0f98fc333",
}


def test_a_migration_that_databases_have_applied_does_not_change() -> None:
    """A change of a model needs a migration of its own, which needs no long lock."""
    assert {
        name: hashlib.sha256((MIGRATIONS / name).read_bytes()).hexdigest() for name in FROZEN
    } == FROZEN
