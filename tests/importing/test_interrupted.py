"""An import that was killed is run again: nothing has to be deleted, lost or imported twice."""

import contextlib
import datetime as dt
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from mailer import models as mailer
from mailer.models import email_to_db
from post_office.models import STATUS, Email

from dev.processes import Process, wait_until
from outbox.management.importing.mailer import Mailer
from outbox.management.importing.post_office import PostOffice
from outbox.management.importing.source import ImportSource, ImportSourceError
from outbox.models import Account, Message
from tests.importing.conftest import Import

ROOT = Path(__file__).resolve().parents[2]
ROWS = int(os.environ.get("IMPORT_ROWS", "120"))  # of each kind: what waits, and the history
SOURCES: dict[str, type[ImportSource]] = {"mailer": Mailer, "post_office": PostOffice}
PROGRAM = """
import sys
from pathlib import Path

import django

django.setup()

import mailer.engine
import post_office.lockfile
from django.core.management import call_command

mailer.engine.LOCK_PATH = str(Path(sys.argv[2]) / "mailer")
post_office.lockfile.default_lockfile = str(Path(sys.argv[2]) / "post_office")
call_command("outbox_import", sys.argv[1])
"""


def fill(app: str) -> None:
    """Make rows that wait and rows of the history, without sending anything."""
    now = timezone.now()
    moments = [now - dt.timedelta(hours=1, milliseconds=number) for number in range(2 * ROWS)]
    if app == "mailer":
        data = email_to_db(EmailMessage("Hi", "Hello", "shop@example.com", ["bob@example.net"]))
        mailer.Message.objects.bulk_create(
            mailer.Message(message_data=data, when_added=at, priority=mailer.PRIORITY_MEDIUM)
            for at in moments[:ROWS]
        )
        mailer.MessageLog.objects.bulk_create(
            mailer.MessageLog(
                message_data=data,
                when_added=at,
                priority=mailer.PRIORITY_MEDIUM,
                result=mailer.RESULT_SUCCESS,
            )
            for at in moments[ROWS:]
        )
        return
    Email.objects.bulk_create(
        Email(
            from_email="shop@example.com",
            to=["bob@example.net"],
            subject="Hi",
            message="Hello",
            status=STATUS.queued if number < ROWS else STATUS.sent,
        )
        for number in range(2 * ROWS)
    )


def waiting(app: str) -> int:
    if app == "mailer":
        return int(mailer.Message.objects.count())
    return int(Email.objects.filter(status=STATUS.queued).count())


@contextlib.contextmanager
def importing(app: str, environment: dict[str, str], folder: Path, log: str) -> Iterator[Process]:
    """Run the import in a process of its own."""
    with (folder / log).open("wb") as output:
        process = Process(
            [sys.executable, "-c", PROGRAM, app, str(folder)],
            environment=environment | {"DJANGO_SETTINGS_MODULE": "tests.importing.site"},
            output=output,
            cwd=ROOT,
        )
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.system
@pytest.mark.parametrize("kept", [0.3, 1.3], ids=["in the history", "in the queue"])
@pytest.mark.parametrize("app", SOURCES)
@pytest.mark.django_db(transaction=True)
def test_a_killed_import_goes_on(
    app: str,
    kept: float,
    account: Account,
    site_environment: dict[str, str],
    tmp_path: Path,
    lock_files: Path,
) -> None:
    fill(app)
    with importing(app, site_environment, tmp_path, "first.log") as first:
        wait_until(
            lambda: Message.objects.count() >= kept * ROWS,
            within=100,
            what=f"the first rows (see {tmp_path})",
            process=first,
        )
        first.kill()
    assert 0 < Message.objects.count() < 2 * ROWS
    assert waiting(app) == min(ROWS, 2 * ROWS - Message.objects.count())

    with importing(app, site_environment, tmp_path, "second.log") as second:
        wait_until(lambda: second.returncode is not None, within=600, what="the second run")
    assert second.returncode == 0, (tmp_path / "second.log").read_text()

    assert waiting(app) == 0
    keys = list(Message.objects.values_list("idempotency_key", flat=True))
    assert len(keys) == len(set(keys)) == 2 * ROWS
    assert sorted(path.name for path in tmp_path.iterdir() if "log" not in path.name) == []


@pytest.mark.parametrize("app", SOURCES)
def test_a_second_import_builds_no_message(app: str, outbox_import: Import) -> None:
    fill(app)
    outbox_import(app)
    with CaptureQueriesContext(connection) as queries:
        assert "0 of its history copied" in outbox_import(app)
    assert len(queries) <= 12 + 2 * (2 * ROWS // 200)


@pytest.mark.parametrize("app", SOURCES)
def test_two_imports_at_once_are_refused(app: str, lock_files: Path) -> None:
    first, second = SOURCES[app](), SOURCES[app]()
    with first.paused(), pytest.raises(ImportSourceError, match="Another import"):
        second.paused().__enter__()
    with second.paused():
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lock_with_the_number_of_this_process_is_a_leftover(lock_files: Path) -> None:
    """In a container, each run may have the same process id."""
    own = lock_files / f"{os.getpid()}.lock"
    own.write_text(str(os.getpid()))
    (lock_files / "post_office.lock").symlink_to(own)
    (lock_files / "post_office.lock.outbox-import").write_text(str(os.getpid()))

    with PostOffice().paused():
        pass
    assert list(lock_files.iterdir()) == []


def test_a_lock_of_the_senders_own_is_never_broken(lock_files: Path) -> None:
    lock = lock_files / "mailer.lock"
    lock.write_text("")
    (lock_files / "unique").write_text("")
    (lock_files / "mailer.lock.outbox-import").write_text(str(lock_files / "unique"))

    with pytest.raises(ImportSourceError, match=f"delete {lock}"), Mailer().paused():
        pass
    assert lock.exists()
