"""Recorder: one thread, one database connection, group commits.

While one commit runs, the next units gather; so the busier it is, the more share a commit. What
nobody waits for lingers a moment, since the mark of the next mail mostly follows an outcome. It is
first in, first out: a mark never overtakes the outcome before it. While the database is away units
are kept and tried again; a unit that the database refuses is found by bisection and set aside.
"""

import asyncio
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from django.db import DatabaseError, InterfaceError, connections

from outbox.delivery import record
from outbox.delivery.away import DATABASE_AWAY, is_about_a_row
from outbox.delivery.unit import Mark, Passed, Result, Unit
from outbox.delivery.verdict import Verdict

logger = logging.getLogger(__name__)
_GROUP = 400  # units in one commit, at most
_LINGER = 0.002  # seconds for which a unit that nobody waits for may be joined by others
_SQLITE_PAUSE = 0.004  # seconds between commits, so that Send finds the database unlocked
_RETRY_LONGEST = 5.0


class Recorder:
    """Takes units from the engine's loop, writes them from its own thread."""

    def __init__(
        self,
        using: str,
        loop: asyncio.AbstractEventLoop,
        *,
        on_recorded: Callable[[Sequence[Result]], None] = lambda results: None,
    ) -> None:
        self._using = using
        self._loop = loop
        self._on_recorded = on_recorded
        self._units: deque[tuple[Unit, asyncio.Future[bool] | None]] = deque()
        self._ready = threading.Condition()
        self._is_due = False  # what is there is to be written now
        self._lingering: asyncio.TimerHandle | None = None
        self._stopping = False
        self._writing = False
        self.healthy = True
        self._thread = threading.Thread(target=self._run, name="outbox-recorder", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Units that wait for a commit."""
        return len(self._units)

    @property
    def idle(self) -> bool:
        """Tell whether all is written."""
        return not self._units and not self._writing

    def put(self, unit: Unit) -> None:
        """Have it written, a moment from now at the latest; order is kept. The loop's own."""
        with self._ready:
            self._units.append((unit, None))
        if self._lingering is None:
            self._lingering = self._loop.call_later(_LINGER, self._linger_no_more)

    def _linger_no_more(self) -> None:
        self._lingering = None
        with self._ready:
            self._is_due = True
            self._ready.notify()

    async def mark(self, attempt_id: int) -> bool:
        """Commit "the dot is about to leave"; False when it must not."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._put_now(Mark(attempt_id=attempt_id), future)
        return await future

    async def caught_up(self) -> None:
        """Wait until all that was put before is written, however long the database is away."""
        if self.idle:
            return
        future: asyncio.Future[bool] = self._loop.create_future()
        self._put_now(Passed(), future)
        await future

    def _put_now(self, unit: Unit, future: asyncio.Future[bool]) -> None:
        with self._ready:
            self._units.append((unit, future))
            self._is_due = True
            self._ready.notify()

    def stop(self, patience: float) -> None:
        """Write what is left, then end; gives up after `patience` seconds."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while group := self._gather():
                self._write([unit for unit, _ in group])
                self._answer(group)
                if connections[self._using].vendor == "sqlite":
                    time.sleep(_SQLITE_PAUSE)  # its lock is not fair: others would starve
        finally:
            connections[self._using].close()

    def _gather(self) -> list[tuple[Unit, asyncio.Future[bool] | None]]:
        with self._ready:
            self._writing = False
            while not self._stopping and not (self._units and self._is_due):
                self._ready.wait()
            count = min(len(self._units), _GROUP)
            self._writing = count > 0
            self._is_due = len(self._units) > count
            return [self._units.popleft() for _ in range(count)]

    def _write(self, units: Sequence[Unit]) -> None:
        """Write them all, halving a group the database refuses until the culprit stands alone."""
        try:
            self._write_patiently(units)
        except Exception:  # noqa: BLE001  # whatever one unit is refused for, the others are not
            if len(units) == 1:
                self._set_aside(units[0])
                return
            middle = len(units) // 2
            self._write(units[:middle])
            self._write(units[middle:])

    def _write_patiently(self, units: Sequence[Unit]) -> None:
        delay = 0.05
        while True:
            try:
                record.write(units, self._using)
            except DATABASE_AWAY as error:
                if is_about_a_row(error):
                    raise
                self.healthy = False
                logger.warning("The database does not answer; outcomes are kept: %s", error)
                with suppress(DatabaseError, InterfaceError):
                    connections[self._using].close()
                time.sleep(delay)  # no event tells that the database is back
                delay = min(delay * 2, _RETRY_LONGEST)
            else:
                self.healthy = True
                return

    def _set_aside(self, unit: Unit) -> None:
        """Keep the state a refused result came to, less the texts it may have been refused for."""
        logger.error("The database refused %s: %s", type(unit).__name__, traceback.format_exc())
        if isinstance(unit, Mark):
            unit.granted = False  # it was, until the commit failed
        if not isinstance(unit, Result):
            return
        plain = replace(
            unit,
            verdicts=[_without_texts(verdict) for verdict in unit.verdicts],
            detail="The database refused the full record of this attempt.",
            phases_ms="",
            transfer="",
            session=None,
            remote_queue_id="",
            traceback=traceback.format_exc(),
        )
        try:
            self._write_patiently([plain])
        except Exception:
            logger.exception("Not even the bare outcome could be written.")

    def _answer(self, group: Sequence[tuple[Unit, asyncio.Future[bool] | None]]) -> None:
        answers = [
            (not isinstance(unit, Mark) or unit.granted, future)
            for unit, future in group
            if future is not None
        ]
        if answers:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, answers)
        results = [unit for unit, _ in group if isinstance(unit, Result) and not unit.fenced]
        if results:
            try:
                self._on_recorded(results)
            except Exception:
                logger.exception("What was recorded could not be told.")


def _resolve(answers: Sequence[tuple[bool, asyncio.Future[bool]]]) -> None:
    for answer, future in answers:
        if not future.done():
            future.set_result(answer)


def _without_texts(verdict: Verdict) -> Verdict:
    reply = replace(verdict.reply, text="", enhanced="") if verdict.reply else None
    return replace(verdict, reason="", reply=reply)
