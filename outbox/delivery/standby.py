"""Delivery while a worker has no child process: its parent process runs `outbox_deliver`.

With the pool “prefork”, the engine is in the children. Celery replaces a child that has ended, but
only while it is connected to the broker.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

from outbox.conf import get_conf
from outbox.delivery.separate import SeparateProcess

logger = logging.getLogger(__name__)
_CHECK_INTERVAL = 1.0  # seconds
_STARTS_AFTER = 5.0  # seconds; a connected worker replaces a child much earlier


class Standby:
    """Keeps a separate process running while the worker needs one."""

    def __init__(self, is_needed: Callable[[], bool]) -> None:
        """Start to watch. `is_needed` is called in a thread."""
        self.pid = os.getpid()
        self._is_needed = is_needed
        self._stopping = threading.Event()
        self._process: SeparateProcess | None = None
        self._thread = threading.Thread(target=self._watch, name="outbox-standby", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Do nothing: while wake-ups arrive, there is no separate process."""

    def stop(self, *, finish_within: float) -> None:
        """End the watch, and the process after its SMTP transactions."""
        self._stopping.set()
        self._thread.join(finish_within + get_conf().shutdown_timeout + 20)

    def _watch(self) -> None:
        fine_at = time.monotonic()
        while not self._stopping.wait(_CHECK_INTERVAL):
            try:
                if not self._is_needed():
                    fine_at = time.monotonic()
                    self._end_process()
                elif self._process is None and time.monotonic() - fine_at >= _STARTS_AFTER:
                    logger.warning(
                        "The worker has no child process. outbox_deliver delivers until it has one."
                    )
                    self._process = SeparateProcess()
            except Exception:
                logger.exception("The child processes of the worker cannot be watched.")
        self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.stop(finish_within=0)
            self._process = None


def is_running(pid: int) -> bool:
    """Return whether a child process of this process runs, without reading its exit code."""
    try:
        # A child that has ended keeps its number until Celery reads the exit code.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
