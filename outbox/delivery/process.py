"""The engine of this process: started by the first task, fed by the later ones, stopped with it."""

import logging
import os
import threading

from outbox.conf import get_conf
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.engine import Engine

logger = logging.getLogger(__name__)
_lock = threading.Lock()
_running: tuple[int, Engine, threading.Thread] | None = None  # pid: a fork inherits no thread


def feed() -> None:
    """See that this process has a running engine, and wake it."""
    global _running  # noqa: PLW0603  # one engine a process is the point
    with _lock:
        if _running is None or _running[0] != os.getpid() or not _running[2].is_alive():
            engine = Engine()
            thread = threading.Thread(
                target=_run, args=(engine,), name="outbox-engine", daemon=True
            )
            thread.start()
            _running = (os.getpid(), engine, thread)
        _running[1].wake()


def stop() -> None:
    """Let conversations end, then end the engine of this process, if it has one."""
    with _lock:
        if _running is None or _running[0] != os.getpid():
            return
        _, engine, thread = _running
        engine.stop()
    thread.join(get_conf().shutdown_for + 15)


def _run(engine: Engine) -> None:
    try:
        engine.run()
    except DATABASE_AWAY as error:
        logger.warning("The engine ended, the next task starts another: %s", error)
    except Exception:
        logger.exception("The engine ended on a defect; the next task starts another.")
