"""A runner does all that one worker does for one destination, with up to its share of sessions.

It opens one session first, and more only once that one is open. So a dead server costs one attempt
at a time. A runner never has more connections than it has slots.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Iterable
from functools import partial

from outbox import smtp
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import transaction
from outbox.delivery.base_runner import Runner
from outbox.delivery.context import DeliveryContext
from outbox.delivery.destination_reports import DestinationReports
from outbox.delivery.job import Job, SessionClosed, SessionOpened
from outbox.delivery.limits import HeldSlot
from outbox.delivery.openers import SessionOpener, Target, TargetRefusedError
from outbox.delivery.server_memory import ServerMemory
from outbox.delivery.session import DeliverySession, unopened_row
from outbox.delivery.slots import RunnerSlots, SlotRequest, sessions_for
from outbox.delivery.verdict import EXHAUSTED_PAUSE, judge_opening
from outbox.log_lines import log_fields
from outbox.models import Circuit, Destination
from outbox.models.destination import DestinationEffect
from outbox.net.mx import RoutingError
from outbox.reasons import Reason, ReasonCode
from outbox.texts import cause_of

logger = logging.getLogger(__name__)
_ABORT_TIMEOUT = 2.0  # seconds until the outcome of an aborted transaction is recorded
_OPENING_MAX = 20  # sessions of one runner that open at once: each takes time of the event loop
# At an MX site, another session is opened for so many waiting jobs, or if none of them was taken
# for so long. Most sites have a few messages, and a connection costs more than they do.
_JOBS_AT_A_SITE = 8
_PATIENCE = 1.0  # seconds
_CLAIMED_PER_SESSION = 6  # claimed ahead for each session, so that no session waits for a claim
_CLAIMED_AT_A_SITE = 12  # the same for an MX site, whose sessions have more jobs each


class DestinationRunner(Runner):
    """Delivers to one destination until nothing is due, and keeps idle sessions for a while."""

    def __init__(
        self, context: DeliveryContext, destination: Destination, opener: SessionOpener
    ) -> None:
        super().__init__(context, destination)
        self._opener = opener
        self._sessions: set[asyncio.Task[None]] = set()
        self._open_sessions: set[DeliverySession] = set()
        self._opening = 0  # sessions that are being opened
        self._sessions_allowed = 1  # doubles with each session that is opened
        self._reports = DestinationReports(context)
        self._memory = ServerMemory(destination)
        self._feeds_again = False
        self._fault_at = 0.0  # when a fault was last reported, by the loop's clock
        self._rests_until = 0.0  # by the loop's clock, after this host lacked a resource
        self._slots = RunnerSlots(context, destination)
        # When jobs began to wait, or the last of them was taken, by the loop's clock.
        self._waiting_since: float | None = None
        self._watch: asyncio.TimerHandle | None = None

    @property
    def has_jobs(self) -> bool:
        """Return whether a job waits here or is being delivered."""
        return bool(self._claimed) or len(self._sessions) > self._claimed.waiting

    @property
    def is_busy(self) -> bool:
        """Return whether it has jobs or open sessions."""
        return bool(self._sessions) or super().is_busy

    async def feed_due(self, destination: Destination, seen_at: float) -> None:
        """Deliver what is due, as the database showed at `seen_at` of the loop's clock."""
        if seen_at < self._fault_at:
            return  # a fault was reported since, and the circuit may have opened
        if seen_at < self._rests_until:
            return
        self.destination = destination
        if not destination.fits_account:
            await self.retire()  # another runner moves the messages
            return
        self._memory.update(destination)
        self._claimed.is_exhausted = False
        await self.feed()

    async def feed(self) -> None:
        """Claim as many jobs as there is room for and start sessions for them."""
        if self._feeding.locked():
            self._feeds_again = True  # a session was opened that makes room for others
            return
        if self._claimed.is_closed:
            return
        async with self._feeding:
            self._feeds_again = False
            if not self._claimed:
                self._waiting_since = None  # they were returned
            began_at = asyncio.get_running_loop().time()
            try:
                await self._claimed.wait_for_room(self.destination, self._jobs_wanted)
                waiting = len(self._claimed) - self._claimed.waiting  # negative: idle sessions
                # Others need the parts of the pool that are not used here.
                useful = max(waiting, 0) + 1 + len(self._sessions)
                wanted = min(self._sessions_possible(), useful)
                async with self._slots.requested(
                    wanted, self.destination, waiting, self._jobs_per_session
                ) as slots:
                    if self._sessions or slots.most:
                        await self._claim(slots)
                    if self._fault_at >= began_at:
                        self._claimed.return_all()  # they were claimed before the circuit opened
                    for slot in slots.use(max(self._sessions_wanted(), 0)):
                        self._start(slot)
            finally:
                self._return_unserved()
                self._note_waiting()
        if self._feeds_again:
            self._context.spawn(self.feed())

    @property
    def _jobs_wanted(self) -> int:
        ahead = _CLAIMED_PER_SESSION if self._opener.has_login else _CLAIMED_AT_A_SITE
        return min(self._sessions_allowed * ahead, self._context.conf.claim_size)

    @property
    def _jobs_per_session(self) -> int:
        """Return how many waiting jobs are worth another session."""
        if self._opener.has_login:
            return 1
        now, since = asyncio.get_running_loop().time(), self._waiting_since
        return 1 if since is not None and now >= since + _PATIENCE else _JOBS_AT_A_SITE

    def _note_waiting(self) -> None:
        """Note since when jobs wait, and feed again if none is taken for too long."""
        if not self._claimed or self._opener.has_login:
            self._waiting_since = None
            return
        loop = asyncio.get_running_loop()
        if self._waiting_since is None:
            self._waiting_since = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(_PATIENCE, self._watch_waiting)

    def _watch_waiting(self) -> None:
        """Feed again if none of the waiting jobs was taken for too long. Look again later."""
        self._watch = None
        if not self._claimed or self._waiting_since is None:
            self._waiting_since = None
            return
        loop = asyncio.get_running_loop()
        left = self._waiting_since + _PATIENCE - loop.time()
        if left <= 0:
            self._context.spawn(self.feed())
        self._watch = loop.call_later(left if left > 0 else _PATIENCE, self._watch_waiting)

    async def _claim(self, slots: SlotRequest) -> None:
        """Claim jobs, and reserve slots for those that have no session."""
        await self._claimed.fill(self.destination, self._jobs_wanted, slots)
        self._feeds_again |= self._claimed.is_cut_short
        if not slots.has_looked and slots.most and self._sessions_wanted() > 0:
            await self._context.in_claimer(slots.look_and_reserve)  # nothing had to be claimed

    def _sessions_possible(self) -> int:
        """Return how many more sessions are allowed at present."""
        if self._claimed.is_closed:
            return 0
        allowed = self._sessions_allowed - len(self._sessions)
        return max(min(allowed, _OPENING_MAX - self._opening), 0)

    def _sessions_wanted(self) -> int:
        """Return how many more sessions are allowed and would have a job to begin with."""
        waiting = len(self._claimed) - self._claimed.waiting
        worth = sessions_for(waiting, self._jobs_per_session, has_session=bool(self._sessions))
        return min(self._sessions_possible(), worth)

    def _start(self, slot: HeldSlot) -> None:
        task = asyncio.create_task(self._run_sessions(slot))
        self._sessions.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sessions.discard(task)
        if not self._feeding.locked():
            self._return_unserved()

    def _return_unserved(self) -> None:
        """Return claimed jobs that no session is going to take."""
        if self._claimed and not self._sessions:
            self._claimed.return_all()

    async def _run_sessions(self, slot: HeldSlot) -> None:
        """Use one slot: open a session when a job waits, deliver over it, close it, repeat."""
        try:
            while job := await self._next_job():
                target = await self._target_of(job)
                if target is None:
                    await self._refund(job)
                    continue
                try:
                    session = await self._open_for(job, target)
                except TargetRefusedError as error:
                    self._record_refused(job, error)
                    if error.is_remembered:
                        await self._refund(job)
                    else:
                        await self._reports.return_probe(self.destination, job, EXHAUSTED_PAUSE)
                    continue
                if session is None:
                    break
                await self._deliver_over(session, job)
        except Exception:
            logger.exception("A session task for %s ended with an error.", self.destination)
        finally:
            self._slots.release([slot])

    async def _next_job(self, session: DeliverySession | None = None) -> Job | None:
        """Wait for a job for as long as a session may be idle. Return None when there was none.

        Jobs that the session serves precede the others.
        """
        if not self._claimed:
            self._request_more()
            if not await self._claimed.wait(self._context.conf.session_max_idle):
                return None
        job = self._claimed.take(partial(self._opener.prefers, session) if session else None)
        if job is not None and len(self._claimed) <= self._jobs_wanted // 2:
            self._request_more()
        if self._waiting_since is not None:
            self._waiting_since = asyncio.get_running_loop().time() if self._claimed else None
        return job

    def _request_more(self) -> None:
        if self._claimed.is_exhausted:
            return
        if self._feeding.locked():
            self._feeds_again = True
        else:
            self._context.spawn(self.feed())

    async def _target_of(self, job: Job) -> Target | None:
        """Return the servers of a job; None if it does not belong here, or was returned."""
        try:
            return await self._opener.target_of(job, self.destination)
        except (asyncio.CancelledError, *DATABASE_UNAVAILABLE) as error:
            self._claimed.return_all(job)
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:  # noqa: BLE001  # logged there
            fault = self._local_fault(error)
            if fault.kind is smtp.FaultKind.EXHAUSTED:
                await self._record_unopened(job, fault)
            else:  # a lookup says nothing about the destination
                unroutable = RoutingError(fault.reason, is_permanent=False)
                now = self._context.lease.now
                self._context.recorder.put(transaction.unrouted(job, unroutable, now))
        return None

    async def _refund(self, job: Job) -> None:
        """Refund what was reserved for a job that led to no connection, and allow another probe.

        Its domain has no servers at present, or other ones, which says nothing about these.
        """
        if await self._reports.refund(self.destination, job):
            self._claimed.is_exhausted = False

    async def _return_probe(self, job: Job) -> None:
        """Allow another probe if the job was one that tested nothing."""
        if await self._reports.return_probe(self.destination, job):
            self._claimed.is_exhausted = False

    async def _open_for(self, job: Job, target: Target) -> DeliverySession | None:
        """Open a session for this job. If that fails, the job waits for the destination.

        Raise TargetRefusedError if the failure is about the job.
        """
        try:
            return await self._open(job, target)
        except TargetRefusedError:
            raise
        except smtp.SmtpFault as fault:
            await self._record_unopened(job, fault)
        except asyncio.CancelledError:
            self._claimed.return_all(job)
            raise
        except DATABASE_UNAVAILABLE:  # while the token was looked up; no server is at fault
            self._claimed.return_all(job)
        except Exception as error:  # noqa: BLE001  # logged there
            await self._record_unopened(job, self._local_fault(error))
        return None

    def _local_fault(self, error: Exception) -> smtp.SmtpFault:
        if smtp.is_exhausted(error):
            return smtp.exhausted(smtp.Phase.CONNECT, error)
        logger.error("A session for %s could not be opened.", self.destination, exc_info=error)
        reason = Reason(ReasonCode.SESSION_DEFECT, cause=cause_of(error))
        return smtp.SmtpFault(smtp.Phase.CONNECT, smtp.FaultKind.LOCAL, reason)

    async def _open(self, job: Job, target: Target) -> DeliverySession:
        self._opening += 1
        try:
            session = await self._opener.open(target, self.destination, self._memory)
        finally:
            self._opening -= 1
        if not self._tests_server(job):
            await self._note_success(job)
        return session

    async def _deliver_over(self, session: DeliverySession, job: Job | None) -> None:
        """Deliver jobs over one session until it has to be closed."""
        conf = self._context.conf
        self._open_sessions.add(session)
        try:
            while job is not None:
                effect = await self._run_transaction(job, session)
                if effect == DestinationEffect.UNTESTED:
                    await self._return_probe(job)
                elif effect == DestinationEffect.NONE and self._tests_server(job):
                    await self._note_success(job)
                if not session.connection.usable or session.is_used_up(
                    conf, self.destination.account
                ):
                    return
                job = await self._job_for(session)
                if job is None:
                    return
                if not await session.is_reusable(conf, self.destination.account):
                    self._claimed.put_back(job)
                    return
        finally:
            self._open_sessions.discard(session)
            await session.close(self._context.recorder)

    async def _job_for(self, session: DeliverySession) -> Job | None:
        """Return the next job for a session; None if there is none that it serves."""
        while (job := await self._next_job(session)) is not None:
            target = await self._target_of(job)
            if target is None:
                await self._refund(job)
                continue
            if target.key == session.target_key:
                return job
            self._claimed.put_back(job)
            return None
        return None

    async def _run_transaction(self, job: Job, session: DeliverySession) -> DestinationEffect:
        with log_fields(
            message_id=job.message_id,
            attempt_id=job.attempt_id,
            account_id=self.destination.account_id,
            destination_id=job.destination_id,
        ):
            return await self._run(job, session)

    async def _run(self, job: Job, session: DeliverySession) -> DestinationEffect:
        try:
            effect, why = await transaction.run(job, session, self._context)
        except DATABASE_UNAVAILABLE:
            self._claimed.return_all(job)
            return DestinationEffect.UNTESTED
        if effect not in {DestinationEffect.NONE, DestinationEffect.UNTESTED}:
            await self._report_fault(effect, why, job)
        is_new = session.connection.messages == 1
        if effect == DestinationEffect.UNTESTED and is_new and not session.connection.usable:
            self._sessions_allowed = 1  # the server has ended it, perhaps as one too many
        await self._obey(session.replies)
        facts = session.connection.facts
        host = "" if self._opener.has_login else f"{facts.host}:{facts.port}"
        await self._reports.remember(self.destination, self._memory, session.connection, host)
        return effect

    def _tests_server(self, job: Job) -> bool:
        """Return whether no transaction has succeeded since the last fault of the destination."""
        if job.probe is not None:
            return True
        return self.destination.circuit != Circuit.CLOSED or self.destination.circuit_faults > 0

    async def _note_success(self, job: Job) -> None:
        """Close the circuit and allow more sessions."""
        if self._tests_server(job):
            if not await self._reports.report_success(self.destination):
                return
            self._claimed.is_exhausted = False
        share = self._slots.share(self.destination)
        if self._sessions_allowed < share:
            self._sessions_allowed *= 2
        self._sessions_allowed = min(self._sessions_allowed, share)
        self._context.spawn(self.feed())

    async def _record_unopened(self, job: Job, fault: smtp.SmtpFault) -> None:
        effect = judge_opening(fault, has_login=self._opener.has_login)
        if effect == DestinationEffect.NONE:
            retry_at = await self._rest(fault, job)
        else:
            quoted = fault.reply.quoted if fault.reply else ""
            retry_at = await self._report_fault(effect, fault.reason.with_reply(quoted), job)
        lease, recorder = self._context.lease, self._context.recorder
        row = unopened_row(self.destination, lease, fault)
        recorder.put(SessionOpened(session=row))
        recorder.put(SessionClosed(session=row, closing=""))
        recorder.put(transaction.unopened(job, row, fault, retry_at))
        if fault.reply is not None:
            await self._obey([fault.reply])

    def _record_refused(self, job: Job, error: TargetRefusedError) -> None:
        """Record that the servers do not fulfill what the job requires; they are not at fault."""
        now = self._context.lease.now
        result = transaction.refused(
            job, error.row, error.fault, now, is_permanent=error.is_permanent
        )
        self._context.recorder.put(result)

    async def _obey(self, replies: Iterable[smtp.Reply]) -> None:
        """Begin less if an MX site asks for it."""
        if self._opener.has_login:
            return
        if await self._reports.report_replies(self.destination, replies):
            self._fault_at = asyncio.get_running_loop().time()
            self._sessions_allowed = 1
            self._claimed.return_all()

    async def _rest(self, fault: smtp.SmtpFault, job: Job) -> dt.datetime:
        """Begin nothing for a moment, since this host lacks a resource. Return when it continues.

        The circuit says nothing about this: no server is at fault.
        """
        logger.warning("%s: %s", self.destination, fault.reason)
        self._sessions_allowed = 1
        self._fault_at = asyncio.get_running_loop().time()
        self._rests_until = self._fault_at + EXHAUSTED_PAUSE.total_seconds()
        self._claimed.return_all()
        await self._reports.return_probe(self.destination, job, EXHAUSTED_PAUSE)
        return self._context.lease.now + EXHAUSTED_PAUSE

    async def _report_fault(
        self, effect: DestinationEffect, reason: Reason, job: Job
    ) -> dt.datetime:
        """Count a fault of the destination and return when it is tried again.

        Concurrency begins at one session again (protocol item 109).
        """
        self._sessions_allowed = 1
        self._claimed.return_all()
        retry_at = await self._reports.report_fault(self.destination, effect, reason, job.probe)
        self._fault_at = asyncio.get_running_loop().time()
        return retry_at

    async def close(self, patience: float) -> None:
        """Begin nothing more, wait for what has begun, and end what takes too long."""
        await self._claimed.close()
        if await self._wait_for_sessions(patience):
            return
        for session in self._open_sessions:
            session.connection.abandon(Reason(ReasonCode.WORKER_STOPPED))
        if await self._wait_for_sessions(_ABORT_TIMEOUT):
            return
        for task in self._sessions:
            task.cancel()
        await self._wait_for_sessions(_ABORT_TIMEOUT)

    async def _wait_for_sessions(self, seconds: float) -> bool:
        """Wait until every session has ended. Return False after some seconds."""
        tasks = list(self._sessions)
        if not tasks:
            return True
        _, unfinished = await asyncio.wait(tasks, timeout=seconds)
        return not unfinished
