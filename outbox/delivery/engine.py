"""Engine: the one loop of a worker process. It serves every due destination side by side.

It lives in a thread of its own, so that the task that starts it returns at once; database work is
done in three further threads (claimer, recorder, heartbeat), each with its own connection.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from outbox import __version__, signals
from outbox.conf import get_conf
from outbox.delivery import due, lease
from outbox.delivery.equipment import Equipment, run_in
from outbox.delivery.lane import Lane
from outbox.delivery.recorder import Recorder
from outbox.delivery.route import is_shut
from outbox.delivery.unit import Result
from outbox.models import Destination, State
from outbox.models.clock import database_now

logger = logging.getLogger(__name__)
_LOOK_EVERY = 0.05  # seconds between two looks whether all is done
_LOOKUPS = 64  # names asked for side by side: DNS that hangs for some must not stop the others


class Engine:
    """Delivers what is due in one database until it is stopped."""

    def __init__(self, *, until_empty: bool = False) -> None:
        self._conf = get_conf()
        self._using = self._conf.database
        self._equipment: Equipment
        self._until_empty = until_empty
        self._lanes: dict[int, Lane] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._claimer = ThreadPoolExecutor(1, thread_name_prefix="outbox-claimer")
        self._pulse = ThreadPoolExecutor(1, thread_name_prefix="outbox-heartbeat")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event
        self._stopping = threading.Event()
        self._defect: Exception | None = None
        self.outcomes: Counter[State] = Counter()  # recipients, by the state of each attempt

    @property
    def recorder(self) -> Recorder:
        """What writes its outcomes, once it runs."""
        return self._equipment.recorder

    @property
    def may_claim(self) -> bool:
        """Tell whether it takes up mail at present."""
        return self._equipment.may_claim

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the rest; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(self._survive(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _survive(self, work: Coroutine[Any, Any, None]) -> None:
        """A worker outlives a failed step and tries again; a run "until empty" ends on it."""
        try:
            await work
        except Exception as error:
            logger.exception("A step of the engine failed.")
            if self._until_empty:
                self._defect = error
                self.stop()

    def run(self) -> None:
        """Deliver until stopped; with `until_empty`, until nothing is due or in hand."""
        asyncio.run(self._main())
        if self._defect is not None:
            raise self._defect

    def wake(self) -> None:
        """Look for due mail now. Callable from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop just ended
                self._loop.call_soon_threadsafe(self._wake.set)

    def stop(self) -> None:
        """Begin no more conversations and end. Callable from any thread."""
        self._stopping.set()
        self.wake()

    async def _main(self) -> None:
        using = self._using
        self._wake = asyncio.Event()
        self._loop = loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="outbox-dns"))
        try:
            held = await run_in(self._pulse, lambda: lease.register(__version__, using), using)
            self._equipment = Equipment(
                conf=self._conf,
                lease=held,
                recorder=Recorder(using, loop, on_recorded=self._recorded),
                claimer=self._claimer,
                stopping=self._stopping,
                spawn=self._spawn,
            )
            try:
                await self._work()
            finally:  # not before: what an ended worker held is anybody's
                await self._end(held)
        finally:
            for executor in (self._claimer, self._pulse):
                executor.submit(connections.close_all).result()
                executor.shutdown()

    async def _end(self, held: lease.Lease) -> None:
        """Say goodbye, twice where the connection broke since the last heartbeat."""
        goodbye = partial(run_in, self._pulse, partial(lease.end, held, self._using), self._using)
        try:
            await goodbye()
        except (DatabaseError, InterfaceError):
            await goodbye()  # over a new connection

    async def _work(self) -> None:
        heartbeat = asyncio.create_task(self._beat())
        try:
            await self._deliver()
        finally:
            await self._close()
            heartbeat.cancel()

    async def _deliver(self) -> None:
        while not self._stopping.is_set() and not self._equipment.lease.lost:
            self._wake.clear()
            idle = self._until_empty and self._is_idle()
            try:
                anything = await self._feed_lanes()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("The database does not answer: %s", error)
                anything = True
            if idle and not anything:
                return
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the bell or the next look; a run "until empty" looks as soon as it is idle."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._conf.poll_every):
                if self._until_empty:
                    await self._idleness()
                else:
                    await self._wake.wait()

    async def _idleness(self) -> None:
        """Return when nothing is in hand any more, or the bell rang."""
        await asyncio.sleep(_LOOK_EVERY)
        while not self._is_idle() and not self._wake.is_set():  # noqa: ASYNC110  # the recorder is a thread
            await asyncio.sleep(_LOOK_EVERY)

    async def _feed_lanes(self) -> bool:
        """Hand every destination with due mail to its lane; tell whether there was any."""
        if not self.may_claim:
            return True
        seen_at = asyncio.get_running_loop().time()
        destinations = await self._equipment.in_claimer(self._due)
        for destination in destinations:
            lane = self._lanes.get(destination.pk)
            if lane is None:
                lane = self._lanes[destination.pk] = Lane(self._equipment, destination)
            self._spawn(lane.feed_due(destination, seen_at))
        for pk in [pk for pk, lane in self._lanes.items() if not lane.busy]:
            if pk not in {destination.pk for destination in destinations}:
                del self._lanes[pk]
        return bool(destinations)

    def _due(self) -> list[Destination]:
        """Runs in the claimer's thread."""
        earliest = due.waiting(self._using)
        if not earliest:
            return []
        now = database_now(self._using)
        ids = [pk for pk, moment in earliest.items() if moment <= now]
        found = Destination.objects.using(self._using).filter(pk__in=ids).select_related("account")
        return [row for row in found if not is_shut(row, now)]

    def _is_idle(self) -> bool:
        if self._background or any(lane.in_hand for lane in self._lanes.values()):
            return False
        return self.recorder.idle

    async def _beat(self) -> None:
        """Renew the lease, also while the last conversations end."""
        held, using = self._equipment.lease, self._using
        while not held.lost:
            await asyncio.sleep(min(self._conf.heartbeat_every, self._conf.lease_for / 3))
            try:
                await run_in(self._pulse, lambda: lease.renew(held, using), using)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("The lease could not be renewed: %s", error)
        logger.error("The lease was lost; this engine ends and leaves its mail to others.")
        self.wake()

    async def _close(self) -> None:
        # With the lease lost no dot leaves any more, but a reply may still tell of one that did.
        patience = self._conf.shutdown_for
        await asyncio.gather(*(lane.close(patience) for lane in self._lanes.values()))
        if self._background:
            await asyncio.wait(self._background, timeout=5)
        await asyncio.get_running_loop().run_in_executor(self._claimer, self.recorder.stop, 30)

    def _recorded(self, results: Sequence[Result]) -> None:
        """Runs in the recorder's thread, after the commit."""
        self.outcomes.update(verdict.state for result in results for verdict in result.verdicts)
        signals.tell(
            change
            for result in results
            for change in result.changes()
            if signals.is_heard(change.state)
        )
