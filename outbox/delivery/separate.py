"""A process of its own for the engine: `outbox_deliver`, which also sweeps and needs no Redis.

A worker runs it beside itself if its pool has no real threads: gevent and eventlet replace the
threads and the sockets of Python, on which the engine is built.

The process ends with the worker, even with a killed one, because its standard input ends.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import weakref

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from outbox.conf import get_conf

logger = logging.getLogger(__name__)
_RESTART_AFTER = 1.0  # seconds


class SeparateProcess:
    """Keeps one `outbox_deliver` running."""

    def __init__(self) -> None:
        """Start it. Raise ImproperlyConfigured if the settings are in no module."""
        if not hasattr(settings, "SETTINGS_MODULE"):
            raise ImproperlyConfigured(
                "The engine cannot run in this pool. Run `manage.py outbox_deliver` beside it."
            )
        self.pid = os.getpid()
        self._lock = threading.Lock()  # a stop during a restart would miss the new process
        self._stopping = threading.Event()
        self._process = self._start()
        _all.add(self)
        # In a green pool this is a green thread, which waits without blocking the others.
        self._thread = threading.Thread(target=self._keep, name="outbox-separate", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Wake its engine."""
        with contextlib.suppress(OSError, ValueError):  # it has ended, and another one starts
            assert self._process.stdin is not None
            self._process.stdin.write(b"\n")

    def stop(self, *, finish_within: float) -> None:
        """End the process after its SMTP transactions."""
        with self._lock:
            self._stopping.set()
        self.close_input()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(finish_within + get_conf().shutdown_timeout + 15)

    def close_input(self) -> None:
        """Close this process's end of the standard input."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "django", "outbox_deliver", "--attached"],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE},
            stdin=subprocess.PIPE,
            bufsize=0,  # a buffer has a lock, which a fork would inherit
        )

    def _keep(self) -> None:
        while not self._stopping.wait(_RESTART_AFTER):
            if self._process.poll() is not None:
                self._restart()

    def _restart(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            logger.error("outbox_deliver ended with %s; starting it again.", self._process.poll())
            self.close_input()
            try:
                self._process = self._start()
            except OSError:  # too many processes or files at present
                logger.exception("outbox_deliver cannot be started.")


_all: "weakref.WeakSet[SeparateProcess]" = weakref.WeakSet()


def _close_inherited() -> None:
    """Close what a fork has inherited. Otherwise the separate process would not end before it."""
    for one in _all:
        one.close_input()


os.register_at_fork(after_in_child=_close_inherited)
