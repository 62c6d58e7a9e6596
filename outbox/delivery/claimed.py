"""The claimed jobs of one destination, which wait for a session to take them.

Jobs that no session is going to take are returned, so that any worker may claim them again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from functools import partial

from outbox.delivery.claim import ClaimInDoubtError
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import Job, JobsReturned
from outbox.delivery.limited_claim import claim_within_limits
from outbox.delivery.slots import SlotRequest
from outbox.models import Destination

# Recipients in hand of one destination, all workers together. A claim passes over each of them: it
# takes 0.25 ms with none in hand, 0.6 ms with 1,200 and 11 ms with 20,000 (docs/decisions/0008).
_IN_HAND_MAX = 5_000


class ClaimedJobs:
    """A queue that claims fill and sessions empty."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._jobs: deque[Job] = deque()
        self._changed = asyncio.Condition()
        self.is_closed = False
        self.is_exhausted = False  # the last claim found less than it asked for
        self.is_cut_short = False  # the last claim did not look at all that is due
        self.waiting = 0  # sessions that wait for a job

    def __len__(self) -> int:
        return len(self._jobs)

    async def fill(
        self, destination: Destination, size: int, slots: SlotRequest | None = None
    ) -> None:
        """Claim up to `size` jobs, unless the last claim found nothing more that is due.

        `slots` reserves slots for them. See `wait_for_room`.
        """
        self.is_cut_short = False
        room = min(self._room(size), self._room_in_hand(destination))
        # A claim costs as much as several jobs, so none is made for a few.
        is_filled = len(self._jobs) > self._room(size)
        if room <= 0 or is_filled or self.is_exhausted or not self._context.may_claim:
            return
        try:
            jobs, is_cut_short = await self._context.in_claimer(
                partial(
                    claim_within_limits,
                    destination,
                    self._context.lease.worker_id,
                    room,
                    self._context.last_senders.get(destination.pk) or 0,
                    self._context.using,
                    slots,
                )
            )
        except ClaimInDoubtError as error:
            self._context.recorder.in_hand.add(error.jobs)
            await self._context.claim_ended()
            self.return_all(*error.jobs)
            raise
        self.is_cut_short = is_cut_short
        self.is_exhausted = not is_cut_short and sum(len(job.recipients) for job in jobs) < room
        self._context.recorder.in_hand.add(jobs)
        self._jobs.extend(jobs)
        if jobs:
            self._context.last_senders[destination.pk] = jobs[-1].sender_key
        await self._notify()

    async def wait_for_room(self, destination: Destination, size: int) -> None:
        """When too many recipients are in hand, wait until their results are recorded."""
        if self._room_in_hand(destination) < self._room(size):
            await self._context.recorder.caught_up(destination.pk)

    def _room(self, size: int) -> int:
        return size - len(self._jobs)

    def _room_in_hand(self, destination: Destination) -> int:
        """Return how many more recipients of the destination this worker may have in hand."""
        share = max(_IN_HAND_MAX // self._context.lease.workers_alive, 1)
        return share - self._context.recorder.in_hand[destination.pk]

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109  # idle sessions outlive jobs
        """Wait until there is a job or the queue is closed. Return False after the timeout."""
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: bool(self._jobs) or self.is_closed)
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
        return True

    def take(self, preferred: Callable[[Job], bool] | None = None) -> Job | None:
        """Remove and return the next job, or None when none may begin.

        The first preferred one precedes the others.
        """
        if self.is_closed or not self._jobs:
            return None
        if preferred is not None:
            for position, job in enumerate(self._jobs):
                if preferred(job):
                    del self._jobs[position]
                    return job
        return self._jobs.popleft()

    def put_back(self, job: Job) -> None:
        """Return a job that was taken and not begun. It is the next one."""
        self._jobs.appendleft(job)

    def return_all(self, *taken: Job) -> None:
        """Return all jobs to the database, and those taken ones of which nothing was sent."""
        jobs = (*taken, *self._jobs)
        self._jobs.clear()
        self.is_exhausted = True
        if jobs:
            worker_id = self._context.lease.worker_id
            self._context.recorder.put(JobsReturned(jobs=jobs, worker_id=worker_id))

    @property
    def message_ids(self) -> set[int]:
        """Return the messages of the jobs."""
        return {job.message_id for job in self._jobs}

    def return_some(self, messages: Collection[int]) -> None:
        """Return the jobs of some messages to the database."""
        returned = [job for job in self._jobs if job.message_id in messages]
        if returned:
            self._jobs = deque(job for job in self._jobs if job.message_id not in messages)
            worker_id = self._context.lease.worker_id
            self._context.recorder.put(JobsReturned(jobs=returned, worker_id=worker_id))

    async def close(self) -> None:
        """Stop giving out jobs and return the remaining ones."""
        self.is_closed = True
        await self._notify()
        self.return_all()
