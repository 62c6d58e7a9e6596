"""Equipment: what all lanes of one engine work with. Its lease, its recorder, its database thread.

It decides nothing: what is done when is the engine's affair, and what for whom the lanes'.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections

from outbox.conf import Conf
from outbox.delivery.lease import Lease
from outbox.delivery.recorder import Recorder

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """Shared by the lanes, and put together by the engine that owns them."""

    conf: Conf
    lease: Lease
    recorder: Recorder
    claimer: ThreadPoolExecutor  # one thread, one connection
    stopping: threading.Event
    spawn: Callable[[Coroutine[Any, Any, None]], None]  # beside the rest; a failure is the engine's

    @property
    def using(self) -> str:
        """The database that is delivered from."""
        return self.conf.database

    @property
    def may_claim(self) -> bool:
        """Claiming stops while outcomes cannot be written, the lease is gone or the end is near."""
        return self.recorder.healthy and self.lease.held and not self.stopping.is_set()

    async def in_claimer(self, work: Callable[[], T]) -> T:
        """Run database work in the claimer's thread."""
        return await run_in(self.claimer, work, self.using)


async def run_in(thread: ThreadPoolExecutor, work: Callable[[], T], using: str) -> T:
    """Run database work in a thread that keeps its connection."""
    return await asyncio.get_running_loop().run_in_executor(thread, _closing_broken, work, using)


def _closing_broken(work: Callable[[], T], using: str) -> T:
    """A connection that broke is closed here, or its thread would never get another."""
    try:
        return work()
    except (DatabaseError, InterfaceError):
        connections[using].close()
        raise
