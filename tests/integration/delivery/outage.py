"""A database that can be made unavailable for connections that are opened during a test.

SQLite is locked by a writer that does not end; PostgreSQL is reached through a relay that can be
cut. The test's own connection is not affected.
"""

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from django.db import connection

_EXECUTE = b"E\0\0\0\x09"  # the message that executes what another one has prepared


class Outage(Protocol):
    """What a test may do to the database of the other threads."""

    def begin(self) -> None: ...
    def end(self) -> None: ...
    def lose_next(self, statement: bytes = b"COMMIT") -> None:
        """Allow the statement, and cut the connection before its response (PostgreSQL only)."""

    @property
    def has_lost(self) -> bool:
        """Return whether the response that was to be lost is lost."""

    def hold_next_commit(self) -> None:
        """Cut the connection, and pass the commit on when it is released (PostgreSQL only)."""

    def release(self) -> None: ...
    @property
    def holds_commit(self) -> bool:
        """Return whether a commit is held."""

    @property
    def connected(self) -> int:
        """Return how many connections there have been."""


@contextmanager
def breakable_database() -> Iterator[Outage]:
    """Redirect connections that are opened in the block over something that can break."""
    connection.ensure_connection()
    settings: dict[str, Any] = connection.settings_dict
    before = dict(settings)
    outage = _Locked(settings) if connection.vendor == "sqlite" else _Relay(settings)
    try:
        yield outage
    finally:
        outage.close()
        settings.update(before)


class _Locked:
    """SQLite, locked by another process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        # Writers meet the lock at once instead of waiting twenty seconds for it.
        settings["OPTIONS"] = settings["OPTIONS"] | {"timeout": 0.05}
        self._other = sqlite3.connect(settings["NAME"], isolation_level=None, timeout=20)

    def begin(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def lose_next(self, statement: bytes = b"COMMIT") -> None:
        raise NotImplementedError("SQLite's commit is a call, not a message that can be lost")

    hold_next_commit = lose_next

    def release(self) -> None: ...

    has_lost = holds_commit = False
    connected = 0

    def end(self) -> None:
        if self._other.in_transaction:
            self._other.execute("ROLLBACK")

    def close(self) -> None:
        self.end()
        self._other.close()


class _Relay:
    """PostgreSQL, reached over a relay that can be cut at any time."""

    def __init__(self, settings: dict[str, Any]) -> None:
        host = settings["HOST"] or settings["OPTIONS"].get("host") or "/var/run/postgresql"
        self._target = (host, int(settings["PORT"] or 5432))
        self._door = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._deaf: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = self._holding = self.holds_commit = False
        self._losing: bytes | None = None
        self._released = threading.Event()
        settings["HOST"], settings["PORT"] = self._door.getsockname()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=work, args=ends, daemon=True)
        self._threads.append(thread)
        thread.start()

    def begin(self) -> None:
        with self._lock:
            self._cut = True
            for pair in self._pairs:
                _shut(*pair)

    def end(self) -> None:
        self._cut = False

    def lose_next(self, statement: bytes = b"COMMIT") -> None:
        self._losing = statement

    @property
    def has_lost(self) -> bool:
        return self._losing is None and bool(self._deaf)

    def hold_next_commit(self) -> None:
        self._holding = True

    def release(self) -> None:
        self._released.set()

    @property
    def connected(self) -> int:
        return len(self._pairs)

    def close(self) -> None:
        self.release()
        self.begin()
        self._door.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in (self._door, *(end for pair in self._pairs for end in pair)):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            with self._lock:
                if self._cut:
                    client.close()
                    continue
                pair = client, self._reach()
                self._pairs.append(pair)
            self._start(self._relay_to_server, *pair)
            self._start(self._relay_to_client, *pair)

    def _reach(self) -> socket.socket:
        host, port = self._target
        if not host.startswith("/"):
            return socket.create_connection(self._target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(host) / f".s.PGSQL.{port}"))
        return server

    def _relay_to_server(self, client: socket.socket, server: socket.socket) -> None:
        is_prepared = False  # the statement to lose: the next data executes it
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if is_prepared or (self._losing and self._losing in data):
                    is_prepared = data.startswith(b"P") and _EXECUTE not in data
                    if not is_prepared:
                        self._losing = None
                        self._deaf.add(client)
                if self._holding and b"COMMIT" in data:
                    self._holding, self.holds_commit = False, True
                    _shut(client)
                    self._released.wait()
                server.sendall(data)
        _shut(client, server)

    def _relay_to_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(65_536)) and client not in self._deaf:
                client.sendall(data)
        _shut(client, server)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
