"""The database file of `make run`: a file with tables of former migrations is renamed on request.

The former migrations no longer exist, so such a file can be neither used nor migrated.
"""

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from dev import site

VARIABLE = "NEW_DATABASE"
MIGRATIONS = Path(__file__).parents[1] / "outbox" / "migrations"
PARTS = ("", "-wal", "-shm")  # the file itself, SQLite's log and the index of that log


def replace_outdated(file: Path = site.DATABASE) -> None:
    """Rename an outdated database file if the user agrees, so that `migrate` creates a new one.

    Exit with an explanation if the user does not agree or cannot be asked.
    """
    if "DATABASE_URL" in os.environ or not is_outdated(file):
        return  # a database of the caller's own is checked by `migrate`
    kept = file.with_name(f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}{file.suffix}")
    print(
        f"The database {file.relative_to(file.parents[1])} was created by a version from before "
        "the first release, whose migrations no longer exist. It cannot be used any more."
    )
    if not is_wanted(kept):
        sys.exit(
            f"Nothing was changed. `make run {VARIABLE}=1` renames the file to {kept.name} and "
            "starts with a new, empty database."
        )
    for part in PARTS:
        path = file.with_name(file.name + part)
        if path.exists():
            path.rename(kept.with_name(kept.name + part))
    print(f"The file is now {kept.name}; a new database is created.", flush=True)


def is_outdated(file: Path) -> bool:
    """Return whether a database file has tables of migrations that do not exist."""
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        try:
            rows = connection.execute("SELECT name FROM django_migrations WHERE app = 'outbox'")
            applied = {name for (name,) in rows}
        except sqlite3.OperationalError:  # no migration has run yet
            return False
    # As outbox.checks, which needs Django's settings.
    return not applied <= {path.stem for path in MIGRATIONS.glob("*.py")}


def is_wanted(kept: Path) -> bool:
    """Return whether the user wants a new database: by a variable, or asked at a terminal."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE].lower() in {"1", "yes", "on", "true"}
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    question = f"Rename it to {kept.name} and start with a new, empty database? [y/N] "
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except (EOFError, KeyboardInterrupt):
        return False
