"""The engine of this process.

One thread runs the engine and replaces it if it ends too early: after its lease was lost, or while
the database is unavailable. Another one does the periodic work if no other process requests it, as
when Redis is unavailable. A process that cannot run an engine starts `outbox_deliver` instead, and
so does the parent of the processes that run one, when they have ended.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from django.db import connections

from outbox.conf import get_conf
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.engine import Engine
from outbox.delivery.separate import SeparateProcess
from outbox.delivery.standby import Standby

logger = logging.getLogger(__name__)
_RESTART_AFTER = 1.0  # seconds: the database may be back, or the process was suspended
_RESTART_AFTER_ERROR = 10.0  # seconds after an error that probably occurs again
SILENT_INTERVALS = 3  # without a sweep, before a process sweeps by itself
_JUST_SWEPT = 0.5  # seconds: another sweep would find nothing new


class _Running(Protocol):
    """What delivers for this process."""

    pid: int  # a fork inherits no thread

    def wake(self) -> None: ...
    def stop(self, *, finish_within: float) -> None: ...


_lock = threading.Lock()
_running: _Running | None = None
_is_apart = False  # whether this process needs another one for the engine
_swept_at: float | None = None  # on the monotonic clock


def start(periodic_work: Callable[[], object], *, apart: bool = False) -> None:
    """Start the engine, and do the periodic work when no sweep was requested for a while.

    With `apart`, both are done by a process of their own.
    """
    global _is_apart  # noqa: PLW0603  # of this process
    _is_apart = apart
    _ensure(periodic_work)


def start_standby(is_needed: Callable[[], bool]) -> None:
    """Run the engine in a process of its own whenever `is_needed` returns true for a while.

    For a process whose children run the engine; a child that is forked starts its own.
    """
    global _running  # noqa: PLW0603  # one engine per process
    with _lock:
        _running = Standby(is_needed)


def is_apart() -> bool:
    """Return whether another process delivers for this one, whose threads are not real."""
    return _is_apart


def feed() -> None:
    """Start the engine if it does not run, and wake it."""
    _ensure().wake()


def stop(*, finish_within: float = 0) -> None:
    """End the engine after its SMTP transactions.

    With `finish_within`, it first delivers what is due at present, for so many seconds at most.
    """
    global _running  # one engine per process
    with _lock:
        running, _running = _running, None
    if running is not None and running.pid == os.getpid():
        running.stop(finish_within=finish_within)


def record_sweep() -> None:
    """Record that this process sweeps now."""
    global _swept_at  # noqa: PLW0603  # of this process
    _swept_at = time.monotonic()


def has_just_swept() -> bool:
    """Return whether this process swept a moment ago, so that another sweep is superfluous.

    After an outage, hundreds of sweeps may be waiting in the queue.
    """
    return _swept_at is not None and time.monotonic() - _swept_at < _JUST_SWEPT


def _ensure(periodic_work: Callable[[], object] | None = None) -> _Running:
    global _running  # noqa: PLW0603  # one engine per process
    with _lock:
        if _running is None or _running.pid != os.getpid():
            _running = SeparateProcess() if _is_apart else _Keeper(periodic_work)
        return _running


class _Keeper:
    """Keeps one engine running in a thread of this process."""

    def __init__(self, periodic_work: Callable[[], object] | None) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._engine = Engine()
        self._thread = threading.Thread(target=self._run, name="outbox-engine", daemon=True)
        self._thread.start()
        if periodic_work is not None:
            threading.Thread(
                target=self._sweep_when_silent,
                args=[periodic_work],
                name="outbox-sweeper",
                daemon=True,
            ).start()

    def wake(self) -> None:
        self._engine.wake()

    def stop(self, *, finish_within: float) -> None:
        with self._lock:
            self._stopping.set()
        if finish_within:
            self._engine.finish(finish_within)
        else:
            self._engine.stop()
        self._thread.join(finish_within + get_conf().shutdown_timeout + 15)

    def _run(self) -> None:
        while True:
            pause = _run_once(self._engine)
            self._stopping.wait(pause)
            with self._lock:
                if self._stopping.is_set():
                    return
                self._engine = Engine()

    def _sweep_when_silent(self, periodic_work: Callable[[], object]) -> None:
        """Do the periodic work when this process has not swept for three intervals."""
        silent = SILENT_INTERVALS * get_conf().sweep_interval
        seen_at = time.monotonic()
        while not self._stopping.wait(max(seen_at + silent - time.monotonic(), 0)):
            seen_at = max(seen_at, _swept_at or seen_at)
            if time.monotonic() - seen_at < silent:
                continue
            seen_at = time.monotonic()
            try:
                periodic_work()
            except DATABASE_UNAVAILABLE as error:
                logger.warning("The sweep has to wait for the database: %s", error)
            except Exception:
                logger.exception("The periodic work failed; it is repeated.")
            finally:
                connections.close_all()  # of this thread


def _run_once(engine: Engine) -> float:
    """Run an engine until it ends. Return the pause in seconds before another one starts."""
    try:
        engine.run()
    except DATABASE_UNAVAILABLE as error:
        logger.warning("The engine ended; another one starts soon: %s", error)
    except Exception:
        logger.exception("The engine ended with an error. Another one starts soon.")
        return _RESTART_AFTER_ERROR
    return _RESTART_AFTER
