"""The engine delivers to every due destination of one database, concurrently.

`run` is a worker's life: it delivers until it is stopped, and survives whatever fails. `drain`
delivers until nothing is due, and raises what failed. The event loop has a thread of its own.
Database work is done in three further threads (claimer, recorder, heartbeat), each with its own
connection.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from outbox import __version__, signals
from outbox.conf import get_conf
from outbox.delivery import lease
from outbox.delivery.context import DeliveryContext, run_in
from outbox.delivery.descriptors import connection_ceiling
from outbox.delivery.job import Result
from outbox.delivery.limits import due_destinations, paused_among
from outbox.delivery.pool import Pool
from outbox.delivery.recorder import Recorder
from outbox.delivery.runners import Runners
from outbox.models import State

logger = logging.getLogger(__name__)
attempts_logger = logging.getLogger("outbox.attempts")
_IDLE_CHECK_INTERVAL = 0.02  # seconds; the recorder is a thread and sets no event
_REFRESH_SECONDS = 5.0  # for policies that are still being read when nothing is due any more
_TOKEN_THREADS = 8  # requests to token services at once: a silent one must not delay the others
_DNS_THREADS = 64  # lookups at once: names whose DNS server is silent must not delay the others


class Engine:
    """Delivers what is due in one database."""

    def __init__(self) -> None:
        self._conf = get_conf()
        self._using = self._conf.database
        self._context: DeliveryContext
        self._background: set[asyncio.Task[Any]] = set()
        self._claimer = ThreadPoolExecutor(1, thread_name_prefix="outbox-claimer")
        self._heartbeat = ThreadPoolExecutor(1, thread_name_prefix="outbox-heartbeat")
        # Its threads start when an account has tokens to renew.
        self._renewer = ThreadPoolExecutor(_TOKEN_THREADS, thread_name_prefix="outbox-tokens")
        self._runners: Runners
        self._loop: asyncio.AbstractEventLoop | None = None
        self._awake: asyncio.Event
        self._stopping = threading.Event()
        self._finish_by: float | None = None  # on the monotonic clock; None: deliver until stopped
        self._connections = Pool(connection_ceiling())
        self._error: Exception | None = None  # of the last background task that failed
        self.outcomes: Counter[State] = Counter()  # recipients, by the state after each attempt

    @property
    def recorder(self) -> Recorder:
        """The recorder of a running engine."""
        return self._context.recorder

    @property
    def may_claim(self) -> bool:
        """Return whether the engine may claim at present."""
        return self._context.may_claim

    def run(self) -> None:
        """Deliver until stopped. A step that fails is logged and repeated."""
        asyncio.run(self._with_lease(self._run))

    def drain(self) -> None:
        """Deliver until nothing is due and no delivery is in progress. Raise what failed."""
        self._finish_by = math.inf
        asyncio.run(self._with_lease(self._drain_and_refresh))
        if self._error is not None:
            raise self._error

    def wake(self) -> None:
        """Look for due messages now. Callable from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._awake.set)

    def finish(self, within: float) -> None:
        """Deliver what is due at present, for `within` seconds at most, and end.

        Callable from any thread.
        """
        self._finish_by = time.monotonic() + within
        self.wake()

    def stop(self) -> None:
        """Begin no more SMTP transactions and end. Callable from any thread."""
        self._stopping.set()
        self.wake()

    async def _run(self) -> None:
        while self._is_active and self._finish_by is None:
            self._awake.clear()
            await self._feed_runners()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._conf.poll_interval):
                    await self._awake.wait()
        if self._is_active:
            self._error = None
            await self._drain()

    async def _drain_and_refresh(self) -> None:
        await self._drain()
        if self._is_active and self._error is None:
            # Where all engines are short, no other one would read changed policies again.
            await self._runners.finish(_REFRESH_SECONDS)

    async def _drain(self) -> None:
        assert self._finish_by is not None
        while self._is_active and self._error is None and time.monotonic() < self._finish_by:
            self._awake.clear()
            was_idle = self._is_idle
            may_have_more = await self._feed_runners()
            if was_idle and not may_have_more:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._conf.poll_interval):
                    await self._until_idle()

    async def _until_idle(self) -> None:
        """Return when no delivery is in progress, or when there may be something to do."""
        await asyncio.sleep(_IDLE_CHECK_INTERVAL)
        while not (self._is_idle or self._awake.is_set() or self._error):  # noqa: ASYNC110
            await asyncio.sleep(_IDLE_CHECK_INTERVAL)

    @property
    def _is_active(self) -> bool:
        return not (self._stopping.is_set() or self._context.lease.lost)

    @property
    def _is_idle(self) -> bool:
        if self._background or any(runner.has_jobs for runner in self._runners):
            return False
        return self.recorder.idle

    async def _feed_runners(self) -> bool:
        """Start or feed a runner for each due destination. Return whether there may be any."""
        if self._context.lease.is_draining:
            for runner in self._runners:
                runner.return_claimed()
            return False
        if not self.may_claim:
            return True
        seen_at = asyncio.get_running_loop().time()
        try:
            work = partial(due_destinations, self._using, self._runners.wanted)
            destinations = await self._context.in_claimer(work)
            await self._return_paused()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The database is unavailable: %s", error)
            return True
        for runner, destination in self._runners.assign(destinations):
            self._spawn(runner.feed_due(destination, seen_at))
        return any(one.pk not in self._runners.unusable for one in destinations)

    async def _return_paused(self) -> None:
        """Return what is claimed and not begun, and was paused since."""
        claimed = [one for one in self._runners if one.has_jobs]
        if not claimed:
            return
        waiting = set[int]().union(*(one.claimed_messages for one in claimed))
        work = partial(paused_among, [one.destination for one in claimed], waiting, self._using)
        destinations, messages = await self._context.in_claimer(work)
        for runner in claimed:
            if runner.destination.pk in destinations:
                runner.return_claimed()
            elif messages:
                runner.return_claimed(messages)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            logger.exception("A step of the engine failed.")
            self._error = error

    async def _with_lease(self, deliver: Callable[[], Awaitable[None]]) -> None:
        """Deliver as a registered worker, and release the lease when everything is recorded."""
        self._awake = asyncio.Event()
        self._loop = loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="outbox-dns"))
        try:
            async with self._lease() as held:
                self._context = DeliveryContext(
                    conf=self._conf,
                    lease=held,
                    recorder=Recorder(self._using, loop, on_recorded=self._report),
                    claimer=self._claimer,
                    renewer=self._renewer,
                    stopping=self._stopping,
                    connections=self._connections,
                    spawn=self._spawn,
                    wake=self._awake.set,
                )
                self._runners = Runners(self._context)
                renewal = asyncio.create_task(self._renew_lease())
                try:
                    await deliver()
                finally:
                    await self._close()
                    renewal.cancel()
        finally:
            # New tokens that are on their way are stored. Renewals that did not begin are dropped.
            await asyncio.to_thread(self._renewer.shutdown, cancel_futures=True)
            for executor in (self._claimer, self._heartbeat):
                executor.submit(connections.close_all).result()
                executor.shutdown()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[lease.Lease]:
        using = self._using
        held = await self._in_heartbeat(partial(lease.register, __version__, using))
        try:
            yield held
        finally:  # not earlier: other workers may take over what an ended worker had claimed
            try:
                await self._in_heartbeat(partial(lease.end, held, using))
            except (DatabaseError, InterfaceError):  # the connection broke since the last heartbeat
                await self._in_heartbeat(partial(lease.end, held, using))

    async def _in_heartbeat(self, work: Callable[[], Any]) -> Any:
        return await run_in(self._heartbeat, work, self._using)

    async def _renew_lease(self) -> None:
        """Renew the lease, also while the last transactions end."""
        held = self._context.lease
        interval = min(self._conf.heartbeat_interval, self._conf.lease_duration / 3)
        while not held.lost:
            await asyncio.sleep(interval)
            try:
                await self._in_heartbeat(partial(lease.renew, held, self._using))
            except (DatabaseError, InterfaceError) as error:
                logger.warning("The lease could not be renewed: %s", error)
        logger.error("The lease was lost. This engine ends; other workers take over its claims.")
        self.wake()

    async def _close(self) -> None:
        """End the sessions and record what is left.

        After the lease was lost no final dot is sent, but a reply to an earlier one may arrive.
        """
        timeout = self._conf.shutdown_timeout
        self._runners.close()  # first: a silent web server must not delay the end
        await asyncio.gather(*(runner.close(timeout) for runner in self._runners))
        if self._background:
            await asyncio.wait(self._background, timeout=5)
        await asyncio.get_running_loop().run_in_executor(self._claimer, self.recorder.stop, 30)

    def _report(self, results: Sequence[Result]) -> None:
        """Count results and send the signals, in the recorder's thread, after the commit."""
        _log_attempts(results, self._context.lease.worker_id)
        self.outcomes.update(verdict.state for result in results for verdict in result.verdicts)
        signals.send_signals(
            change
            for result in results
            for change in result.changes()
            if signals.has_receivers(change.state)
        )


def _log_attempts(results: Sequence[Result], worker_id: int) -> None:
    """Log one line for each attempt, if the project wants them. No address is in it."""
    if not attempts_logger.isEnabledFor(logging.INFO):
        return
    for result in results:
        job = result.job
        ids = {
            "message_id": job.message_id,
            "attempt_id": job.attempt_id,
            "destination_id": job.destination_id,
            "worker_id": worker_id,
            "outcome": result.outcome,
        }
        text = "Attempt %d of message %d ended: %s."
        attempts_logger.info(text, job.attempt_id, job.message_id, result.outcome, extra=ids)
