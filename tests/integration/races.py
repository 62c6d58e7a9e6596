"""Make another connection write between a query of the code under test and its own write."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

ONE_WRITER = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one writer at a time"
)


@contextmanager
def committed_before(
    statement: str, write: Callable[[], object], *, number: int = 1
) -> Iterator[None]:
    """Run `write` in another connection before the first statement that begins like this one.

    With a number it is the second one, and so on.

    Go on when it is done, or when it waits for a lock that the code under test holds.
    """
    done: list[bool] = []
    threads: list[threading.Thread] = []
    seen = 0

    def in_thread() -> None:
        try:
            write()
            done.append(True)
        finally:
            connections.close_all()

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen += sql.startswith(statement)
        if not threads and seen == number:
            threads.append(threading.Thread(target=in_thread))
            threads[0].start()
            _wait(threads[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield
    for thread in threads:
        thread.join(30)
    assert done, f"there was no {statement}, or the other write failed"


def _wait(thread: threading.Thread) -> None:
    deadline = time.monotonic() + 30
    while thread.is_alive() and not _is_waiting():
        assert time.monotonic() < deadline
        thread.join(0.02)


def _is_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction keeps its first view
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
