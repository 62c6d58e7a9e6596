"""Lane: all that one worker does for one destination. Its jobs in hand, its warm sessions.

A lane opens one connection first and more only when that one stands, so a dead server costs one
try at a time; it never holds more connections than it has slots.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from outbox import smtp
from outbox.delivery import claim, converse, route
from outbox.delivery.away import DATABASE_AWAY
from outbox.delivery.job import Job
from outbox.delivery.record import Closed, Freed, GivenBack, Opened, clean
from outbox.delivery.verdict import RouteEffect, judge_route
from outbox.delivery.warm import Warm
from outbox.models import Circuit, Destination, Session
from outbox.models.secrets import SecretUnreadableError

if TYPE_CHECKING:
    from outbox.delivery.engine import Engine

logger = logging.getLogger(__name__)
_JOBS_A_SESSION = 6  # claimed ahead for each session, so that none waits for a claim
_RECORDER_FULL = 2_000  # units; beyond it no new transaction begins


class Lane:
    """Serves one destination until nothing is due, then keeps its sessions warm for a while."""

    def __init__(self, engine: Engine, destination: Destination) -> None:
        self.destination = destination
        self._engine = engine
        self._jobs: deque[Job] = deque()
        self._more = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowed = 1  # sessions at once; grows with each that stands
        self._feeding = asyncio.Lock()
        self._dry = False  # the last claim found less than it asked for
        self._idle = 0  # session tasks that wait for a job
        self._last_sender = 0
        self._faulty_at = 0.0  # when a fault of the route was last written, by the loop's clock
        self._closing = False

    @property
    def busy(self) -> bool:
        """Tell whether anything is in hand or connected."""
        return bool(self._jobs or self._tasks or self._feeding.locked())

    @property
    def in_hand(self) -> bool:
        """Tell whether a job waits here or is being handed over."""
        return bool(self._jobs) or len(self._tasks) > self._idle

    async def feed_due(self, destination: Destination, seen_at: float) -> None:
        """Take up mail that is due, by what the database said at `seen_at` of the loop's clock."""
        if seen_at < self._faulty_at:
            return  # a fault was reported since: the circuit may have opened
        self.destination = destination
        self._dry = False
        await self.feed()

    async def feed(self) -> None:
        """Claim what there is room for and see that sessions serve it."""
        if self._feeding.locked() or self._closing:
            return
        async with self._feeding:
            began_at = asyncio.get_running_loop().time()
            slots = [] if self._tasks else await self._take_slots(1)
            try:
                if self._tasks or slots:
                    await self._claim()
                    slots += await self._take_slots(self._sessions_wanted() - len(slots))
                if self._faulty_at >= began_at:
                    self._give_back()  # claimed before the circuit opened
                for slot in slots[: max(self._sessions_wanted(), 0)]:
                    self._start(slot)
                    slots.remove(slot)
            finally:
                self._free(slots)
                self._leave_nothing_unserved()

    def _sessions_wanted(self) -> int:
        """How many more would have a job to begin with, within what is allowed."""
        return min(self._allowed - len(self._tasks), len(self._jobs) - self._idle)

    async def _take_slots(self, wanted: int) -> list[int]:
        if wanted <= 0 or self._closing:
            return []
        return await self._engine.in_claimer(
            partial(
                route.take_slots,
                self.destination.pk,
                self._engine.lease.worker_id,
                wanted=wanted,
                limit=self.destination.account.max_connections,
                using=self._engine.using,
            )
        )

    async def _claim(self) -> None:
        room = min(self._allowed * _JOBS_A_SESSION, self._engine.conf.claim_size) - len(self._jobs)
        if room <= 0 or self._dry or not self._engine.may_claim:
            return
        try:
            jobs = await self._engine.in_claimer(
                partial(
                    claim.claim_within_limits,
                    self.destination,
                    self._engine.lease.worker_id,
                    room,
                    self._last_sender,
                    self._engine.using,
                )
            )
        except claim.ClaimInDoubtError as error:
            self._give_back(*error.jobs)
            raise
        self._dry = sum(len(job.recipients) for job in jobs) < room
        self._jobs.extend(jobs)
        if jobs:
            self._last_sender = jobs[-1].sender_key
        async with self._more:
            self._more.notify_all()

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
        if self._jobs and not self._tasks:
            self._give_back()

    def _free(self, slots: list[int]) -> None:
        """The recorder has the patience that a slot be freed even while the database is away."""
        if slots:
            self._engine.recorder.put(
                Freed(
                    destination_id=self.destination.pk,
                    worker_id=self._engine.lease.worker_id,
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
        if not self._jobs and not await self._wait_for_more():
            return None
        if not self._jobs or self._closing:
            return None
        job = self._jobs.popleft()
        if len(self._jobs) < self._allowed * _JOBS_A_SESSION // 2:
            self._ask_for_more()
        return job

    def _ask_for_more(self) -> None:
        if not self._dry and not self._feeding.locked():
            self._engine.spawn(self.feed())

    async def _wait_for_more(self) -> bool:
        self._idle += 1
        try:
            self._ask_for_more()
            async with asyncio.timeout(self._engine.conf.session_max_idle), self._more:
                await self._more.wait_for(lambda: bool(self._jobs) or self._closing)
        except TimeoutError:
            return False
        finally:
            self._idle -= 1
        return True

    async def _open_for(self, job: Job) -> Warm | None:
        """Open a session for this job; when that fails, the job waits for the route."""
        try:
            return await self._open()
        except smtp.SmtpFault as fault:
            await self._fail_open(job, fault)
        except asyncio.CancelledError:
            self._give_back(job)
            raise
        except Exception as error:
            logger.exception("A session for %s could not be opened.", self.destination)
            why = f"{type(error).__name__}: {error}"
            defect = smtp.SmtpFault(smtp.Phase.CONNECT, smtp.FaultKind.LOCAL, why)
            await self._fail_open(job, defect)
        return None

    async def _open(self) -> Warm:
        """Raises SmtpFault, and whatever an account's own settings are wrong for."""
        try:
            server = converse.server_for(self.destination.account)
        except (SecretUnreadableError, ImproperlyConfigured) as error:
            kind = smtp.FaultKind.AUTH_UNAVAILABLE
            raise smtp.SmtpFault(smtp.Phase.AUTH, kind, str(error)) from error
        session = await smtp.Session.open(server)
        row = self._session_row(session.facts, session.transcript)
        self._engine.recorder.put(Opened(session=row))
        if not self._is_suspect:
            await self._stands()
        return Warm(session, row, self.destination)

    def _session_row(
        self, facts: smtp.SessionFacts | None, opening: smtp.Transcript | None
    ) -> Session:
        return converse.session_row(self.destination, self._engine.lease.worker_id, facts, opening)

    @property
    def _is_suspect(self) -> bool:
        """Tell whether the route has failed since it last carried a mail."""
        return self.destination.circuit != Circuit.CLOSED or self.destination.circuit_faults > 0

    async def _stands(self) -> None:
        """A connection stands: the circuit closes, and more may be opened."""
        if self._is_suspect:
            try:
                await self._engine.in_claimer(
                    partial(route.report_success, self.destination.pk, self._engine.using)
                )
            except DATABASE_AWAY as error:
                logger.warning("%s stands, which could not be written: %s", self.destination, error)
                return
            self.destination.circuit, self.destination.circuit_faults = Circuit.CLOSED, 0
            self._dry = False
        share = route.fair_share(
            self.destination.account.max_connections, self._engine.lease.workers_alive
        )
        if self._allowed < share:
            self._allowed = min(self._allowed * 2, share)
        self._allowed = min(self._allowed, share)
        self._engine.spawn(self.feed())

    async def _fail_open(self, job: Job, fault: smtp.SmtpFault) -> None:
        self._allowed = 1
        retry_at = await self._report(judge_route(fault), _told(fault))
        row = self._session_row(fault.facts, fault.transcript)
        self._engine.recorder.put(Opened(session=row))
        self._engine.recorder.put(Closed(session=row, closing=""))
        self._engine.recorder.put(converse.unopened(job, row, fault, retry_at))

    async def _report(self, effect: RouteEffect, reason: str) -> dt.datetime:
        """Tell the route of a fault; return when it is tried again."""
        self._give_back()
        try:
            trouble = await self._engine.in_claimer(
                partial(
                    route.report_fault,
                    self.destination.pk,
                    effect,
                    reason,
                    random.random(),  # noqa: S311  # jitter
                    self._engine.using,
                )
            )
        except DATABASE_AWAY as error:
            logger.warning("A fault of %s could not be written: %s", self.destination, error)
            first = dt.timedelta(seconds=self._engine.conf.circuit_first)
            return self._engine.lease.now + first
        self._faulty_at = asyncio.get_running_loop().time()
        if trouble.opened:
            self._engine.tell_circuit(self.destination, reason, trouble)
        self.destination.circuit_faults += 1
        return trouble.retry_at

    def _give_back(self, *begun: Job) -> None:
        """Return what was claimed ahead: another worker, or a later time, may serve it."""
        jobs = (*begun, *self._jobs)
        self._jobs.clear()
        self._dry = True
        if jobs:
            self._engine.recorder.put(GivenBack(jobs=jobs, worker_id=self._engine.lease.worker_id))

    async def _serve_over(self, warm: Warm, job: Job | None) -> None:
        """Serve jobs over one session until it has to be left."""
        try:
            while job is not None:
                effect = await self._one(warm, job)
                if effect == RouteEffect.NONE and self._is_suspect:
                    await self._stands()
                if not warm.session.usable or warm.is_spent(self._engine.conf, self.destination):
                    return
                job = await self._next_job()
                if job is not None and not await warm.is_good(self._engine.conf, self.destination):
                    self._jobs.appendleft(job)
                    return
        finally:
            await self._part(warm)

    async def _part(self, warm: Warm) -> None:
        try:
            # A worker that is killed leaves no more uncertain than it had connections.
            await self._engine.recorder.caught_up()
            await warm.session.quit()
        except asyncio.CancelledError:
            warm.session.abort()  # the engine ends and has no time left for a farewell
            raise
        finally:
            closing = warm.session.transcript.close
            self._engine.recorder.put(
                Closed(
                    session=warm.row,
                    closing=converse.transcript_json(closing) if closing else "",
                )
            )

    async def _one(self, warm: Warm, job: Job) -> RouteEffect:
        """One transaction. What our own code fails on is quarantined and stops nobody else."""
        engine = self._engine
        while engine.recorder.backlog > _RECORDER_FULL:  # noqa: ASYNC110  # it is a thread
            await asyncio.sleep(0.01)
        try:
            source = await self._source_of(job)
            result, effect = await converse.converse(
                warm.session, warm.row, job, source, self._before_dot(job), engine.lease
            )
        except DATABASE_AWAY:
            self._give_back(job)
            return RouteEffect.NONE
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this mail alone
            engine.recorder.put(converse.quarantined(job, f"{type(error).__name__}: {error}"))
            warm.session.abort()
            return RouteEffect.NONE
        engine.recorder.put(result)
        if effect != RouteEffect.NONE:
            await self._report(effect, result.verdicts[0].reason)
        return effect

    async def _source_of(self, job: Job) -> bytes:
        """Take the source from the job, so that a waiting outcome need not hold the body."""
        source, job.source = job.source, None
        if source is not None:
            return source
        return await self._engine.in_claimer(
            partial(claim.read_source, job.message_id, self._engine.using)
        )

    def _before_dot(self, job: Job) -> Callable[[], Any]:
        async def allowed() -> bool:
            lease = self._engine.lease
            if lease.held:
                job.is_marked = await self._engine.recorder.mark(job.attempt_id)
            return job.is_marked

        return allowed

    async def close(self, patience: float) -> None:
        """Begin nothing more, let conversations end, cut what does not end in time."""
        self._closing = True
        async with self._more:
            self._more.notify_all()
        self._give_back()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=patience)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=2)


def _told(fault: smtp.SmtpFault) -> str:
    """Say what broke off, with the server's own words where it had some: a person acts on them."""
    return clean(f"{fault.detail}: {fault.reply}") if fault.reply else fault.detail
