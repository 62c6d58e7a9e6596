"""What one check knows: the time, the host, and the figures that several conditions need."""

from __future__ import annotations

import datetime as dt
import os
import queue
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connections

from outbox.conf import Conf, get_conf
from outbox.db.clock import database_now
from outbox.delivery import due

T = TypeVar("T")
_FILE_SYSTEM_SECONDS = 5.0  # a network file system may not respond
_THREADS_MAX = 16  # that wait for what does not respond
_threads = threading.BoundedSemaphore(_THREADS_MAX)


@dataclass(frozen=True, slots=True)
class Volume:
    """A file system with files of the outbox."""

    name: str  # "storage" or "database"
    path: str
    free: int  # bytes
    total: int


class Facts:
    """The facts of one check; each is determined when a condition needs it."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.conf: Conf = get_conf()
        self.host = host_name()
        asked_at = time.time()
        self.now = database_now(using)
        received_at = time.time()
        self._host_time = (asked_at, received_at)

    def ago(self, seconds: float) -> dt.datetime:
        """Return the time of the database this many seconds ago."""
        return self.now - dt.timedelta(seconds=seconds)

    @cached_property
    def clock_skew(self) -> float:
        """Seconds by which the clock of this host is certainly ahead of the database's; or minus.

        The reply of the database took some time, during which its clock was read.
        """
        asked_at, received_at = self._host_time
        moment = self.now.timestamp()
        if asked_at > moment:
            return asked_at - moment
        return min(received_at - moment, 0.0)

    @cached_property
    def waiting(self) -> dict[int, dt.datetime]:
        """The destinations with waiting recipients, and when the first one of each is due."""
        return due.waiting(self.using)

    @cached_property
    def volumes(self) -> list[Volume]:
        """The file systems of the storage and of a SQLite database. Raise OSError."""
        return within(_FILE_SYSTEM_SECONDS, lambda: _volumes(self.using))


def host_name() -> str:
    """Return the name of this host."""
    return socket.gethostname()[:255]


def write_to_storage() -> None:
    """Write a file to the storage and delete it. Raise what the storage raises, or TimeoutError."""
    within(_FILE_SYSTEM_SECONDS, _write_and_delete)


def _write_and_delete() -> None:
    storage = storages[get_conf().storage]
    name = f"outbox/check-{secrets.token_hex(8)}"
    try:
        name = storage.save(name, ContentFile(b"outbox"))
    except BaseException:
        with suppress(Exception):  # a full storage may have created it
            storage.delete(name)
        raise
    storage.delete(name)


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what the function returns. Raise TimeoutError if it takes longer.

    It runs in a thread, since nothing can interrupt a file system that does not respond.
    """
    found: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            found.put((function(), None))
        except Exception as error:  # noqa: BLE001  # it is raised in the caller's thread
            found.put((None, error))
        finally:
            _threads.release()

    if not _threads.acquire(blocking=False):
        raise TimeoutError("earlier checks have not ended yet")
    threading.Thread(target=run, name="outbox-check", daemon=True).start()
    try:
        result, error = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no response within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error it is the function's


def _volumes(using: str) -> list[Volume]:
    found = []
    location = getattr(storages[get_conf().storage], "location", None)
    if isinstance(location, str | os.PathLike):
        found.append(_volume("storage", Path(location)))
    if connections[using].vendor == "sqlite":
        name = str(connections[using].settings_dict["NAME"])
        if name and "memory" not in name:
            found.append(_volume("database", Path(name.removeprefix("file:")).parent))
    return found


def _volume(name: str, path: Path) -> Volume:
    existing = next((one for one in (path, *path.parents) if one.exists()), Path("/"))
    usage = shutil.disk_usage(existing)
    return Volume(name, str(path), usage.free, usage.total)
