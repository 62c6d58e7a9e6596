"""Work in a thread beside delivery: one at a time, repeated after every kind of failure."""

import threading

import pytest
from django.db import OperationalError, connections

from dev.processes import wait_until
from outbox.db.background import BackgroundWork


def is_free(work: BackgroundWork) -> bool:
    """Return whether the next start would begin a thread."""
    asked: list[bool] = []

    def is_due() -> bool:
        asked.append(True)
        return False

    work.start(lambda: None, if_due=is_due)
    return bool(asked)


def test_one_thread_at_a_time_does_the_work() -> None:
    work, ends, begun = BackgroundWork("outbox-test"), threading.Event(), threading.Semaphore(0)

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
    work, done = BackgroundWork("outbox-test"), threading.Event()
    work.start(done.set, if_due=lambda: False)
    assert is_free(work)
    assert not done.is_set()


def test_a_question_that_fails_is_asked_again() -> None:
    work = BackgroundWork("outbox-test")

    def fail() -> bool:
        raise OperationalError

    with pytest.raises(OperationalError):
        work.start(lambda: None, if_due=fail)
    assert is_free(work)


@pytest.mark.parametrize(
    ("error", "level"), [(OperationalError("gone"), "WARNING"), (ValueError("a defect"), "ERROR")]
)
def test_failed_work_is_logged_and_repeated(
    error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = BackgroundWork("outbox-test")

    def fail() -> None:
        raise error

    work.start(fail, if_due=lambda: True)
    wait_until(lambda: is_free(work), within=30, what="the thread ended")
    [record] = caplog.records
    assert (record.levelname, bool(record.exc_info)) == (level, level == "ERROR")
    assert "outbox-test" in record.getMessage()


def test_work_is_repeated_even_if_a_connection_cannot_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(connections, "close_all", fail)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # pytest would warn
    work = BackgroundWork("outbox-test")
    work.start(lambda: None, if_due=lambda: True)
    wait_until(lambda: is_free(work), within=30, what="the thread ended")
