"""`make run` recognizes a database of former migrations, and never deletes one."""

import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dev.database import is_outdated
from tests.unit.docs.blocks import ROOT

FORMER = ("0001_initial", "0010_reschedule_events")
CURRENT = ("0001_tables",)


def database(folder: Path, *migrations: str) -> Path:
    """Create a database file in which these migrations of the outbox have run."""
    file = folder / ".run" / "db.sqlite3"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE django_migrations (app text, name text)")
        connection.execute("INSERT INTO django_migrations VALUES ('auth', '0001_initial')")
        connection.executemany(
            "INSERT INTO django_migrations VALUES ('outbox', ?)", [(name,) for name in migrations]
        )
    return file


def replace(
    file: Path, *, typed: str | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run what `make run` runs; with an input, at a terminal."""
    code = "from pathlib import Path; import sys; from dev.database import replace_outdated; "
    code += "replace_outdated(Path(sys.argv[1])); print('goes on')"
    command = [sys.executable, "-c", code, str(file)]
    inherited = {name: os.environ[name] for name in os.environ if name != "DATABASE_URL"}
    environment = inherited | environment
    if typed is None:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            check=False,
        )  # fmt: skip
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs,
                          stderr=theirs, check=False)  # fmt: skip
    os.close(theirs)
    done.stdout = os.read(ours, 10_000)
    os.close(ours)
    return done


def files(file: Path) -> list[str]:
    return sorted(path.name for path in file.parent.iterdir() if path.suffix == ".sqlite3")


@pytest.mark.parametrize(
    ("migrations", "expected"),
    [
        pytest.param(FORMER, True, id="former migrations"),
        pytest.param((*CURRENT, "0040_former"), True, id="the present one and a former one"),
        pytest.param(CURRENT, False, id="the present one"),
        pytest.param((), False, id="none"),
    ],
)
def test_a_database_of_former_migrations_is_outdated(
    migrations: tuple[str, ...], expected: bool, tmp_path: Path
) -> None:
    assert is_outdated(database(tmp_path, *migrations)) == expected


def test_a_file_that_does_not_exist_or_has_no_tables_is_not(tmp_path: Path) -> None:
    assert not is_outdated(tmp_path / "missing.sqlite3")
    (tmp_path / "empty.sqlite3").touch()
    assert not is_outdated(tmp_path / "empty.sqlite3")


def test_without_a_terminal_the_command_is_explained_and_nothing_changes(tmp_path: Path) -> None:
    file = database(tmp_path, *FORMER)
    before = file.read_bytes()

    done = replace(file)

    assert done.returncode == 1
    assert b"created by a version from before the first release" in done.stdout
    assert b"`make run NEW_DATABASE=1`" in done.stderr
    assert files(file) == ["db.sqlite3"]
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "given", [{"NEW_DATABASE": "1"}, {"typed": "y\n"}], ids=["by the variable", "at a terminal"]
)
def test_the_file_is_renamed_on_request(given: dict[str, str], tmp_path: Path) -> None:
    file = database(tmp_path, *FORMER)

    done = replace(file, **given)

    assert done.returncode == 0, done.stdout
    assert b"goes on" in done.stdout
    (kept,) = files(file)
    assert re.fullmatch(r"db-\d{8}-\d{6}\.sqlite3", kept)
    assert is_outdated(file.with_name(kept))


def test_a_refusal_at_a_terminal_changes_nothing(tmp_path: Path) -> None:
    file = database(tmp_path, *FORMER)

    done = replace(file, typed="n\n")

    assert done.returncode == 1
    assert files(file) == ["db.sqlite3"]


def test_a_current_database_is_used(tmp_path: Path) -> None:
    file = database(tmp_path, *CURRENT)

    assert replace(file).stdout == b"goes on\n"
    assert files(file) == ["db.sqlite3"]


def test_a_database_that_the_caller_names_is_none_of_its_business(tmp_path: Path) -> None:
    file = database(tmp_path, *FORMER)

    assert replace(file, DATABASE_URL="postgres:///other").stdout == b"goes on\n"
