"""Work in a thread beside delivery: for each kind of work, a process has one thread at a time."""

import logging
import threading
from collections.abc import Callable

from django.db import connections

from outbox.db.unavailable import is_connection_lost

logger = logging.getLogger(__name__)


class BackgroundWork:
    """One kind of work that the periodic run starts whenever it is due."""

    def __init__(self, thread_name: str, description: str, *, is_daemon: bool = True) -> None:
        """The log names the work by its description, a noun that begins a sentence.

        The process waits for a thread that is not a daemon.
        """
        self._thread_name = thread_name
        self._description = description
        self._is_daemon = is_daemon
        self._running = threading.Lock()  # locked by the thread

    def start(
        self,
        work: Callable[[], object],
        *,
        if_due: Callable[[], bool] | None = None,
        claim: Callable[[], bool] | None = None,
    ) -> None:
        """Start a thread if the work is due, unless this process has one. Errors are logged.

        `if_due` has no side effect. `claim` may have one, and is not called while a thread runs.
        """
        # Another thread that asks at the same time must not find the lock taken by the question: it
        # may know of a row that this one has not seen.
        if if_due is not None and not if_due():
            return
        if not self._running.acquire(blocking=False):
            return
        is_started = False
        try:
            if claim is None or claim():
                threading.Thread(
                    target=self._run, args=[work], name=self._thread_name, daemon=self._is_daemon
                ).start()
                is_started = True
        finally:
            if not is_started:
                self._running.release()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            self.log_errors(work)
        finally:
            try:
                connections.close_all()  # of this thread
            finally:
                self._running.release()

    def log_errors(self, work: Callable[[], object]) -> None:
        """Do the work in this thread. Errors are logged."""
        try:
            work()
        except Exception as error:
            if is_connection_lost(error):
                logger.warning("%s: the database is unavailable: %s", self._description, error)
            else:
                logger.exception(
                    "%s has failed. It is repeated when it is due again.", self._description
                )
