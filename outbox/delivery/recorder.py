"""The recorder writes items in group commits, from one thread over one database connection.

While one commit runs, the next items gather, so under load more items share a commit. An item that
nothing waits for is delayed by two milliseconds, since the mark of the next message mostly follows
a result. The items of one destination stay in order: a mark never overtakes the result before it.
While the database is unavailable, items are kept and the commit is repeated. An item that the
database rejects is found by bisection.
"""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from django.db import DatabaseError, InterfaceError, connections

from outbox.db.unavailable import DATABASE_UNAVAILABLE, is_about_a_row
from outbox.delivery import record
from outbox.delivery.failure_groups import FailureGroups
from outbox.delivery.job import (
    Barrier,
    InHand,
    Job,
    JobsReturned,
    Mark,
    RecordItem,
    Result,
    SessionOpened,
)
from outbox.delivery.record_queue import RecordQueue, Waiting
from outbox.delivery.verdict import Verdict
from outbox.models import SmtpSession
from outbox.reasons import NO_REASON, Reason, ReasonCode
from outbox.texts import storable

logger = logging.getLogger(__name__)
_DELAY = 0.002  # seconds in which other items may join one that nothing waits for
_SQLITE_PAUSE = 0.004  # seconds between commits, so that Send finds the database unlocked
_RETRY_MAX = 5.0  # seconds between two attempts to commit
_SESSION_TEXTS = (
    "address", "local_address", "greeting", "extensions", "tls", "tls_policy", "tls_why",
    "auth_mechanism", "tried", "phases_ms", "opening",
)  # fmt: skip


class Recorder:
    """Accepts items in the engine's loop and writes them from its own thread."""

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
        self._groups = FailureGroups()
        self.in_hand = InHand()
        self._items = RecordQueue()
        self._ready = threading.Condition()
        self._is_due = False  # the items are to be written now
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._writing = False
        self.healthy = True
        self._thread = threading.Thread(target=self._run, name="outbox-recorder", daemon=True)
        self._thread.start()

    def has_room_for(self, destination_id: int) -> bool:
        """Return whether a new transaction with the destination may begin."""
        return self._items.has_room_for(destination_id)

    @property
    def idle(self) -> bool:
        """Return whether everything is written."""
        return not self._items and not self._writing

    def put(self, item: RecordItem) -> None:
        """Write the item soon, in order. Callable from the loop's thread."""
        with self._ready:
            self._items.append(item)
        if self._timer is None:
            self._timer = self._loop.call_later(_DELAY, self._end_delay)

    def _end_delay(self) -> None:
        self._timer = None
        with self._ready:
            self._is_due = True
            self._ready.notify()

    async def mark(self, attempt_id: int, destination_id: int) -> bool:
        """Commit that the final dot follows. Return False if it must not be sent."""
        future: asyncio.Future[bool] = self._loop.create_future()
        self._put_now(Mark(attempt_id=attempt_id, destination_id=destination_id), future)
        return await future

    async def caught_up(self, destination_id: int) -> None:
        """Wait until the destination's earlier items are written.

        It waits for as long as the database is unavailable.
        """
        if self.idle:
            return
        future: asyncio.Future[bool] = self._loop.create_future()
        self._put_now(Barrier(destination_id=destination_id), future)
        await future

    def _put_now(self, item: RecordItem, future: asyncio.Future[bool]) -> None:
        with self._ready:
            self._items.append(item, future)
            self._is_due = True
            self._ready.notify()

    def stop(self, patience: float) -> None:
        """Write the remaining items and end. Stop waiting after `patience` seconds."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while group := self._gather():
                self._write([item for item, _ in group])
                self._report(group)
                if connections[self._using].vendor == "sqlite":
                    time.sleep(_SQLITE_PAUSE)  # its lock is not fair: others would starve
        finally:
            connections[self._using].close()

    def _gather(self) -> list[Waiting]:
        with self._ready:
            self._writing = False
            while not self._stopping and not (self._items and self._is_due):
                self._ready.wait()
            group = self._items.take()
            self._writing = bool(group)
            self._is_due = len(self._items) > 0
            return group

    def _write(self, items: Sequence[RecordItem]) -> None:
        """Write items. A group that the database rejects is halved to find the faulty item."""
        try:
            self._write_patiently(items)
        except Exception:  # noqa: BLE001  # the other items are not at fault
            if len(items) == 1:
                self._set_aside(items[0])
                return
            middle = len(items) // 2
            self._write(items[:middle])
            self._write(items[middle:])

    def _write_patiently(self, items: Sequence[RecordItem]) -> None:
        delay = 0.05
        while True:
            try:
                record.write(items, self._using, self._groups)
            except DATABASE_UNAVAILABLE as error:
                if is_about_a_row(error):
                    raise
                self.healthy = False
                logger.warning("The database is unavailable; results are kept: %s", error)
                with suppress(DatabaseError, InterfaceError):
                    connections[self._using].close()
                time.sleep(delay)  # no event reports that the database is back
                delay = min(delay * 2, _RETRY_MAX)
            else:
                self.healthy = True
                return

    def _set_aside(self, item: RecordItem) -> None:
        """Write a rejected result or session without its texts, which may be the reason."""
        logger.error("The database rejected %s: %s", type(item).__name__, traceback.format_exc())
        if isinstance(item, SessionOpened):
            self._set_aside_session(item)
        if isinstance(item, Mark):
            item.granted = False  # it was, until the commit failed
        if not isinstance(item, Result):
            return
        plain = replace(
            item,
            verdicts=[_without_texts(verdict) for verdict in item.verdicts],
            reason=Reason(ReasonCode.RECORD_REFUSED),
            phases_ms="",
            transfer="",
            session=None,
            remote_queue_id="",
            traceback=traceback.format_exc(),
        )
        try:
            self._write_patiently([plain])
        except Exception:
            logger.exception("The state without texts could not be written either.")

    def _set_aside_session(self, item: SessionOpened) -> None:
        """Write the row without its texts, or remove from it what the results would repeat.

        Many results may refer to it: a refused target is remembered with its session.
        """
        session, empty = item.session, SmtpSession()
        for name in _SESSION_TEXTS:
            setattr(session, name, getattr(empty, name))
        session.host = storable(session.host)
        try:
            self._write_patiently([item])
        except Exception:
            logger.exception("The session without texts could not be written either.")
            session.pk, session.host = None, ""

    def _report(self, group: Sequence[Waiting]) -> None:
        self.in_hand.remove(job for item, _ in group for job in _ended_jobs(item))
        grants = [
            (not isinstance(item, Mark) or item.granted, future)
            for item, future in group
            if future is not None
        ]
        if grants:
            with suppress(RuntimeError):  # the loop is closed, and nothing waits
                self._loop.call_soon_threadsafe(_resolve, grants)
        results = [item for item, _ in group if isinstance(item, Result) and not item.fenced]
        if results:
            try:
                self._on_recorded(results)
            except Exception:
                logger.exception("The signals of recorded results failed.")


def _ended_jobs(item: RecordItem) -> Sequence[Job]:
    match item:
        case Result():
            return [item.job]
        case JobsReturned():
            return item.jobs
    return []


def _resolve(grants: Sequence[tuple[bool, asyncio.Future[bool]]]) -> None:
    for granted, future in grants:
        if not future.done():
            future.set_result(granted)


def _without_texts(verdict: Verdict) -> Verdict:
    reply = replace(verdict.reply, text="", enhanced="") if verdict.reply else None
    return replace(verdict, reason=NO_REASON, reply=reply)
