"""Whether this process can serve: the database, its tables and the storage work.

Redis is reported only, since the site works without it. Probes need no sign-in, so each result is
kept for some seconds, and one thread at a time checks: many probes cost no more than one.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from outbox import wakeup
from outbox.api.alarms.facts import within, write_to_storage
from outbox.conf import get_conf

logger = logging.getLogger(__name__)
DEADLINE = 3.0  # seconds for each check; the database has two
_KEPT_FOR = 5.0  # seconds
_MIGRATIONS_KEPT_FOR = 300.0  # seconds, once all are applied
OK, UNAVAILABLE, OUTDATED = "ok", "unavailable", "not applied"


@dataclass(frozen=True, slots=True)
class Readiness:
    """What each check found, without details that a stranger must not see."""

    database: str = UNAVAILABLE
    migrations: str = UNAVAILABLE
    storage: str = UNAVAILABLE
    redis: str = UNAVAILABLE

    @property
    def is_ready(self) -> bool:
        """Return whether the process can serve; Redis is not needed."""
        return self.database == self.migrations == self.storage == OK


class _Checker:
    """Keeps the latest result of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._result = Readiness()
        self._until = 0.0
        self._applied_until = 0.0

    def result(self) -> Readiness:
        """Return the latest result, or a new one. Another thread that is checking is waited for."""
        if time.monotonic() < self._until:
            return self._result
        if not self._lock.acquire(timeout=DEADLINE):
            return Readiness()  # the check does not respond
        try:
            if time.monotonic() >= self._until:
                self._result = self._checked()
                self._until = time.monotonic() + _KEPT_FOR
            return self._result
        finally:
            self._lock.release()

    def _checked(self) -> Readiness:
        with ThreadPoolExecutor(3, thread_name_prefix="outbox-ready") as executor:
            storage = executor.submit(_found, "storage", write_to_storage)
            redis = executor.submit(wakeup.is_broker_reachable)
            database = _found("database", _query)
            migrations = UNAVAILABLE
            if database == OK:
                migrations = _found("migrations", self._check_migrations)
            return Readiness(
                database=database,
                migrations=OUTDATED if database == OK and migrations != OK else migrations,
                storage=storage.result(),
                redis=OK if redis.result() else UNAVAILABLE,
            )

    def _check_migrations(self) -> None:
        if time.monotonic() >= self._applied_until:
            within(DEADLINE, _require_migrations)
            self._applied_until = time.monotonic() + _MIGRATIONS_KEPT_FOR


_checker = _Checker()


def readiness() -> Readiness:
    """Return whether this process can serve, within a few seconds."""
    return _checker.result()


def reset() -> None:
    """Forget the latest result."""
    global _checker  # noqa: PLW0603  # one per process
    _checker = _Checker()


def _found(name: str, check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:  # noqa: BLE001  # each database and storage raises its own
        logger.warning("This process is not ready: %s: %s", name, error)
        return UNAVAILABLE
    return OK


def _query() -> None:
    within(DEADLINE, _select)


def _select() -> None:
    """Query in a thread of its own, whose connection may block."""
    alias = get_conf().database
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connections.close_all()


def _require_migrations() -> None:
    try:
        executor = MigrationExecutor(connections[get_conf().database])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    finally:
        connections.close_all()
    if plan:
        raise RuntimeError(f"{len(plan)} migrations are not applied")
