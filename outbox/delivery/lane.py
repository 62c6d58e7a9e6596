"""Lane: all that one worker does for one destination, over as many sessions as it has slots for.

A lane opens one connection first and more only when that one stands, so a dead server costs one
try at a time; it never holds more connections than it has slots.
"""

import asyncio
import datetime as dt
import logging
import random
from functools import partial

from outbox import smtp
from outbox.delivery import carry, converse, lease, route
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.equipment import Equipment
from outbox.delivery.job import Job
from outbox.delivery.stock import Stock
from outbox.delivery.unit import Closed, Freed, Opened, clean
from outbox.delivery.verdict import RouteEffect, judge_route
from outbox.delivery.warm import Warm
from outbox.models import Circuit, Destination

logger = logging.getLogger(__name__)
_JOBS_A_SESSION = 6  # claimed ahead for each session, so that none waits for a claim


class Lane:
    """Serves one destination until nothing is due, then keeps its sessions warm for a while."""

    def __init__(self, equipment: Equipment, destination: Destination) -> None:
        self.destination = destination
        self._equipment = equipment
        self._stock = Stock(equipment)
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowed = 1  # sessions at once; grows with each that stands
        self._feeding = asyncio.Lock()
        self._faulty_at = 0.0  # when a fault of the route was last written, by the loop's clock

    @property
    def busy(self) -> bool:
        """Tell whether anything is in hand or connected."""
        return bool(self._stock or self._tasks or self._feeding.locked())

    @property
    def in_hand(self) -> bool:
        """Tell whether a job waits here or is being handed over."""
        return bool(self._stock) or len(self._tasks) > self._stock.waiting

    async def feed_due(self, destination: Destination, seen_at: float) -> None:
        """Take up mail that is due, by what the database said at `seen_at` of the loop's clock."""
        if seen_at < self._faulty_at:
            return  # a fault was reported since: the circuit may have opened
        self.destination = destination
        self._stock.is_dry = False
        await self.feed()

    async def feed(self) -> None:
        """Claim what there is room for and see that sessions serve it."""
        if self._feeding.locked() or self._stock.is_closed:
            return
        async with self._feeding:
            began_at = asyncio.get_running_loop().time()
            slots = [] if self._tasks else await self._take_slots(1)
            try:
                if self._tasks or slots:
                    await self._stock.fill(self.destination, self._allowed * _JOBS_A_SESSION)
                    slots += await self._take_slots(self._sessions_wanted() - len(slots))
                if self._faulty_at >= began_at:
                    self._stock.give_back()  # claimed before the circuit opened
                for slot in slots[: max(self._sessions_wanted(), 0)]:
                    self._start(slot)
                    slots.remove(slot)
            finally:
                self._free(slots)
                self._leave_nothing_unserved()

    def _sessions_wanted(self) -> int:
        """How many more would have a job to begin with, within what is allowed."""
        return min(self._allowed - len(self._tasks), len(self._stock) - self._stock.waiting)

    async def _take_slots(self, wanted: int) -> list[int]:
        if wanted <= 0 or self._stock.is_closed:
            return []
        return await self._equipment.in_claimer(partial(self._slots_within_share, wanted))

    def _slots_within_share(self, wanted: int) -> list[int]:
        """Runs in the claimer's thread."""
        held, using = self._equipment.lease, self._equipment.using
        lease.count_workers(held, using)
        return route.take_slots(
            self.destination.pk,
            held.worker_id,
            wanted=max(0, min(wanted, self._share() - len(self._tasks))),
            limit=self.destination.account.max_connections,
            using=using,
        )

    def _share(self) -> int:
        """How many sessions are this worker's."""
        return route.fair_share(
            self.destination.account.max_connections, self._equipment.lease.workers_alive
        )

    def _start(self, slot: int) -> None:
        task = asyncio.create_task(self._serve(slot))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._feeding.locked():
            self._leave_nothing_unserved()

    def _leave_nothing_unserved(self) -> None:
        """A job in hand that no session is going to take would never be tried."""
        if self._stock and not self._tasks:
            self._stock.give_back()

    def _free(self, slots: list[int]) -> None:
        """The recorder has the patience that a slot be freed even while the database is away."""
        if slots:
            self._equipment.recorder.put(
                Freed(
                    destination_id=self.destination.pk,
                    worker_id=self._equipment.lease.worker_id,
                    slots=tuple(slots),
                )
            )

    async def _serve(self, slot: int) -> None:
        """Hold one slot: open a session when a job waits, serve jobs over it, close, repeat."""
        try:
            while job := await self._next_job():
                warm = await self._open_for(job)
                if warm is None:
                    break
                await self._serve_over(warm, job)
        except Exception:
            logger.exception("A session task for %s ended on a defect.", self.destination)
        finally:
            self._free([slot])

    async def _next_job(self) -> Job | None:
        """Wait for a job for as long as a session may stay idle; None when none came."""
        if not self._stock:
            self._ask_for_more()
            if not await self._stock.wait(self._equipment.conf.session_max_idle):
                return None
        job = self._stock.take()
        if job is not None and len(self._stock) < self._allowed * _JOBS_A_SESSION // 2:
            self._ask_for_more()
        return job

    def _ask_for_more(self) -> None:
        if not self._stock.is_dry and not self._feeding.locked():
            self._equipment.spawn(self.feed())

    async def _open_for(self, job: Job) -> Warm | None:
        """Open a session for this job; when that fails, the job waits for the route."""
        try:
            return await self._open()
        except smtp.SmtpFault as fault:
            await self._fail_open(job, fault)
        except asyncio.CancelledError:
            self._stock.give_back(job)
            raise
        except Exception as error:
            logger.exception("A session for %s could not be opened.", self.destination)
            why = f"{type(error).__name__}: {error}"
            defect = smtp.SmtpFault(smtp.Phase.CONNECT, smtp.FaultKind.LOCAL, why)
            await self._fail_open(job, defect)
        return None

    async def _open(self) -> Warm:
        warm = await Warm.open(self.destination, self._equipment)
        if not self._is_suspect:
            await self._stands()
        return warm

    async def _serve_over(self, warm: Warm, job: Job | None) -> None:
        """Serve jobs over one session until it has to be left."""
        conf = self._equipment.conf
        try:
            while job is not None:
                effect = await self._carry(job, warm)
                if effect == RouteEffect.NONE and self._is_suspect:
                    await self._stands()
                if not warm.session.usable or warm.is_spent(conf, self.destination):
                    return
                job = await self._next_job()
                if job is not None and not await warm.is_good(conf, self.destination):
                    self._stock.put_back(job)
                    return
        finally:
            await warm.part(self._equipment.recorder)

    async def _carry(self, job: Job, warm: Warm) -> RouteEffect:
        try:
            effect, why = await carry.carry(job, warm, self._equipment)
        except DATABASE_AWAY:
            self._stock.give_back(job)
            return RouteEffect.NONE
        if effect != RouteEffect.NONE:
            await self._report(effect, why)
        return effect

    @property
    def _is_suspect(self) -> bool:
        """Tell whether the route has failed since it last carried a mail."""
        return self.destination.circuit != Circuit.CLOSED or self.destination.circuit_faults > 0

    async def _stands(self) -> None:
        """A connection stands: the circuit closes, and more may be opened."""
        if self._is_suspect:
            try:
                await self._equipment.in_claimer(
                    partial(route.report_success, self.destination.pk, self._equipment.using)
                )
            except DATABASE_AWAY as error:
                logger.warning("%s stands, which could not be written: %s", self.destination, error)
                return
            self.destination.circuit, self.destination.circuit_faults = Circuit.CLOSED, 0
            self._stock.is_dry = False
        share = self._share()
        if self._allowed < share:
            self._allowed = min(self._allowed * 2, share)
        self._allowed = min(self._allowed, share)
        self._equipment.spawn(self.feed())

    async def _fail_open(self, job: Job, fault: smtp.SmtpFault) -> None:
        self._allowed = 1
        retry_at = await self._report(judge_route(fault), _told(fault))
        worker_id, recorder = self._equipment.lease.worker_id, self._equipment.recorder
        row = converse.session_row(self.destination, worker_id, fault.facts, fault.transcript)
        recorder.put(Opened(session=row))
        recorder.put(Closed(session=row, closing=""))
        recorder.put(converse.unopened(job, row, fault, retry_at))

    async def _report(self, effect: RouteEffect, reason: str) -> dt.datetime:
        """Tell the route of a fault; return when it is tried again."""
        self._stock.give_back()
        try:
            trouble = await self._equipment.in_claimer(
                partial(
                    route.report_fault,
                    self.destination.pk,
                    effect,
                    reason,
                    random.random(),  # noqa: S311  # jitter
                    self._equipment.using,
                )
            )
        except DATABASE_AWAY as error:
            logger.warning("A fault of %s could not be written: %s", self.destination, error)
            first = dt.timedelta(seconds=self._equipment.conf.circuit_first)
            return self._equipment.lease.now + first
        self._faulty_at = asyncio.get_running_loop().time()
        if trouble.opened:  # say so once, where people look
            until = trouble.retry_at
            logger.warning("%s: no mail is tried until %s: %s", self.destination, until, reason)
        self.destination.circuit_faults += 1
        return trouble.retry_at

    async def close(self, patience: float) -> None:
        """Begin nothing more, let conversations end, cut what does not end in time."""
        await self._stock.close()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=patience)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=2)


def _told(fault: smtp.SmtpFault) -> str:
    """Say what broke off, with the server's own words where it had some: a person acts on them."""
    return clean(f"{fault.detail}: {fault.reply}") if fault.reply else fault.detail
