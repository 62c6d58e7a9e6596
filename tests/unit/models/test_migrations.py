"""The first migration is frozen: databases exist that were created by it."""

import hashlib
from pathlib import Path

import outbox

MIGRATIONS = Path(outbox.__file__).parent / "migrations"
FROZEN = {
    "0001_tables.py": "118c7feaa7e409c24ecab2a3d572f589655ad20fcc15262ab87f855ad2a3d8e9",
}


def test_a_migration_that_databases_have_applied_does_not_change() -> None:
    """A change of a model needs a migration of its own, which needs no long lock."""
    assert {
        name: hashlib.sha256((MIGRATIONS / name).read_bytes()).hexdigest() for name in FROZEN
    } == FROZEN
