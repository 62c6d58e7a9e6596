"""Work in a thread beside delivery: one at a time, repeated after every kind of failure."""

import sqlite3
import threading

import pytest
from django.db import InterfaceError, OperationalError, connections

from dev.processes import wait_until
from outbox.db.background import BackgroundWork


def is_free(work: BackgroundWork) -> bool:
    """Return whether the next start would begin a thread."""
    asked: list[bool] = []

    def is_due() -> bool:
        asked.append(True)
        return False

    work.start(lambda: None, claim=is_due)
    return bool(asked)


def test_one_thread_at_a_time_does_the_work() -> None:
    work, ends, begun = (
        BackgroundWork("outbox-test", "Test"),
        threading.Event(),
        threading.Semaphore(0),
    )

    def busy() -> None:
        begun.release()
        ends.wait(30)

    work.start(busy, if_due=lambda: True)
    assert begun.acquire(timeout=30)
    assert not is_free(work)
    work.start(busy, if_due=lambda: True)
    ends.set()
    wait_until(lambda: is_free(work), within=30, what="the thread ended")
    assert not begun.acquire(blocking=False), "the second one did not begin"


def test_work_that_is_not_due_starts_no_thread() -> None:
    work, done = BackgroundWork("outbox-test", "Test"), threading.Event()
    work.start(done.set, if_due=lambda: False)
    assert is_free(work)
    assert not done.is_set()


def test_a_question_that_fails_is_asked_again() -> None:
    work = BackgroundWork("outbox-test", "Test")

    def fail() -> bool:
        raise OperationalError

    with pytest.raises(OperationalError):
        work.start(lambda: None, claim=fail)
    assert is_free(work)


def test_a_question_without_side_effect_does_not_take_the_lock() -> None:
    work, done = BackgroundWork("outbox-test", "Test"), threading.Event()

    def is_due() -> bool:
        work.start(done.set, if_due=lambda: True)  # another thread, which sees a newer row
        return False

    work.start(lambda: None, if_due=is_due)
    assert done.wait(30)


def test_a_period_is_not_claimed_while_the_thread_runs() -> None:
    work, ends = BackgroundWork("outbox-test", "Test"), threading.Event()
    claimed: list[bool] = []

    def claim() -> bool:
        claimed.append(True)
        return True

    work.start(lambda: ends.wait(30), claim=claim)
    work.start(lambda: None, claim=claim)
    ends.set()
    wait_until(lambda: is_free(work), within=30, what="the thread ended")
    assert len(claimed) == 1


def caused_by(code: str, value: object) -> OperationalError:
    """Return an error with a code of the database's driver."""
    error, cause = OperationalError("gone"), Exception()
    setattr(cause, code, value)
    error.__cause__ = cause
    return error


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("error", "level"),
    [
        (caused_by("sqlstate", None), "WARNING"),
        (InterfaceError("the connection is closed"), "WARNING"),
        (caused_by("sqlstate", "57P01"), "WARNING"),
        (caused_by("sqlite_errorcode", sqlite3.SQLITE_BUSY_SNAPSHOT), "WARNING"),
        (caused_by("sqlstate", "57014"), "ERROR"),
        (caused_by("sqlstate", "53100"), "ERROR"),
        (caused_by("sqlite_errorcode", sqlite3.SQLITE_FULL), "ERROR"),
        (ValueError("a defect"), "ERROR"),
    ],
    ids=["lost", "closed", "shutdown", "locked", "timeout", "disk", "full", "defect"],
)
def test_failed_work_is_logged_and_repeated(
    error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = BackgroundWork("outbox-test", "Removal of expired data")

    def fail() -> None:
        raise error

    work.start(fail, if_due=lambda: True)
    wait_until(lambda: is_free(work), within=30, what="the thread ended")
    [record] = [one for one in caplog.records if one.name == "outbox.db.background"]
    assert (record.levelname, bool(record.exc_info)) == (level, level == "ERROR")
    assert record.getMessage().startswith("Removal of expired data")


def test_work_is_repeated_even_if_a_connection_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    def fail() -> None:
        raise OSError

    monkeypatch.setattr(connections, "close_all", fail)
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    work = BackgroundWork("outbox-test", "Test")
    work.start(lambda: None, if_due=lambda: True)
    # The thread frees the work before it raises the error, which pytest would report.
    wait_until(lambda: seen == [OSError], within=30, what="the thread raised the error")
    assert is_free(work)
