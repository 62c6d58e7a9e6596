"""What the runners of one engine share: settings, lease, recorder and database thread.

The engine decides what is done when, and the runners for which message.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from outbox.conf import Conf, get_conf
from outbox.delivery.descriptors import connection_ceiling
from outbox.delivery.lease import Lease, is_unlocked
from outbox.delivery.pool import Pool
from outbox.delivery.recorder import Recorder
from outbox.delivery.signing_keys import SigningKeys
from outbox.delivery.storage import SourceReader
from outbox.net.lru import LruCache

T = TypeVar("T")
_SENDERS_MAX = 10_000  # destinations whose last sender is remembered
_DOUBT_INTERVAL = 0.1  # seconds


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryContext:
    """Created by the engine and shared by its runners."""

    conf: Conf
    lease: Lease
    recorder: Recorder
    claimer: ThreadPoolExecutor  # one thread, one connection
    renewer: ThreadPoolExecutor  # waits for token services
    stopping: threading.Event
    spawn: Callable[[Coroutine[Any, Any, None]], None]  # in the background; the engine sees errors
    wake: Callable[[], None] = _do_nothing  # look for due messages now
    connections: Pool = field(default_factory=lambda: Pool(connection_ceiling()))
    memory: Pool = field(default_factory=lambda: Pool(get_conf().memory_budget))  # bytes
    sources: SourceReader = field(default_factory=lambda: SourceReader(get_conf().storage_timeout))
    signing_keys: SigningKeys = field(default_factory=SigningKeys)
    # Destination → the sender that was served last, so that each probe is of another sender.
    last_senders: LruCache[int, int] = field(default_factory=lambda: LruCache(_SENDERS_MAX))

    @property
    def using(self) -> str:
        """The alias of the database that is delivered from."""
        return self.conf.database

    @property
    def may_claim(self) -> bool:
        """Return whether results can be written, the lease is held and nothing is stopping."""
        is_stopping = self.stopping.is_set() or self.lease.is_draining
        return self.recorder.healthy and self.lease.held and not is_stopping

    async def in_claimer(self, work: Callable[[], T]) -> T:
        """Run database work in the claimer's thread."""
        return await run_in(self.claimer, work, self.using)

    async def claim_ended(self) -> None:
        """Wait until a claim whose connection was lost has been committed or rolled back.

        It has locked the worker. What it wrote cannot be undone before it is visible, and the sweep
        recovers nothing of a worker that is alive. After the end of this worker, it does.
        """
        work = partial(is_unlocked, self.lease.worker_id, self.using)
        while not (self.lease.lost or self.stopping.is_set()):
            with suppress(DatabaseError, InterfaceError):
                if await self.in_claimer(work):
                    return
            await asyncio.sleep(_DOUBT_INTERVAL)  # no event reports the end

    async def in_renewer(self, work: Callable[[], T]) -> T:
        """Run work that waits for a token service in a thread, which then has no connection."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.renewer, _closing, work, self.using)


async def run_in(thread: ThreadPoolExecutor, work: Callable[[], T], using: str) -> T:
    """Run database work in a thread that keeps its connection."""
    return await asyncio.get_running_loop().run_in_executor(thread, _closing_broken, work, using)


def _closing_broken(work: Callable[[], T], using: str) -> T:
    """Run the work. A broken connection is closed, or the thread would never get a new one."""
    try:
        return work()
    except (DatabaseError, InterfaceError):
        connections[using].close()
        raise


def _closing(work: Callable[[], T], using: str) -> T:
    """Run the work and close the connection, which rarely has anything to do."""
    try:
        return work()
    finally:
        connections[using].close()
