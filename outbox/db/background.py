"""Work in a thread beside delivery: for each kind of work, a process has one thread at a time."""

import logging
import threading
from collections.abc import Callable

from django.db import connections

from outbox.db.unavailable import DATABASE_UNAVAILABLE

logger = logging.getLogger(__name__)


class BackgroundWork:
    """One kind of work that the periodic run starts, and repeats if it failed."""

    def __init__(self, name: str, *, is_daemon: bool = True) -> None:
        """`name` is that of the thread. The process waits for a thread that is not a daemon."""
        self._name = name
        self._is_daemon = is_daemon
        self._running = threading.Lock()  # locked by the thread

    def start(self, work: Callable[[], object], *, if_due: Callable[[], bool]) -> None:
        """Start a thread if the work is due, unless this process has one. Errors are logged."""
        if not self._running.acquire(blocking=False):
            return
        is_started = False
        try:
            if if_due():
                threading.Thread(
                    target=self._run, args=[work], name=self._name, daemon=self._is_daemon
                ).start()
                is_started = True
        finally:
            if not is_started:
                self._running.release()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except DATABASE_UNAVAILABLE as error:
            logger.warning("The work of %s waits for the database: %s", self._name, error)
        except Exception:
            logger.exception("The work of %s failed. The next sweep repeats it.", self._name)
        finally:
            try:
                connections.close_all()  # of this thread
            finally:
                self._running.release()
