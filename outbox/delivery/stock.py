"""Stock: the jobs of one destination that are claimed ahead and wait for a session to take them.

It knows no connection. What no session is going to take is given back, so that another worker, or
a later time, may serve it.
"""

import asyncio
from collections import deque
from functools import partial

from outbox.delivery import claim
from outbox.delivery.equipment import Equipment
from outbox.delivery.job import Job
from outbox.delivery.unit import GivenBack
from outbox.models import Destination


class Stock:
    """Filled by claims, emptied by sessions."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._jobs: deque[Job] = deque()
        self._more = asyncio.Condition()
        self._last_sender = 0
        self.is_closed = False
        self.is_dry = False  # the last claim found less than it asked for
        self.waiting = 0  # sessions that wait for a job

    def __len__(self) -> int:
        return len(self._jobs)

    async def fill(self, destination: Destination, size: int) -> None:
        """Claim up to `size` jobs and what a claim takes at most, unless nothing more is due."""
        room = min(size, self._equipment.conf.claim_size) - len(self._jobs)
        if room <= 0 or self.is_dry or not self._equipment.may_claim:
            return
        try:
            jobs = await self._equipment.in_claimer(
                partial(
                    claim.claim_within_limits,
                    destination,
                    self._equipment.lease.worker_id,
                    room,
                    self._last_sender,
                    self._equipment.using,
                )
            )
        except claim.ClaimInDoubtError as error:
            self.give_back(*error.jobs)
            raise
        self.is_dry = sum(len(job.recipients) for job in jobs) < room
        self._jobs.extend(jobs)
        if jobs:
            self._last_sender = jobs[-1].sender_key
        await self._notify()

    async def _notify(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def wait(self, within: float) -> bool:
        """Wait until there is a job, or none will come; False when time is up."""
        self.waiting += 1
        try:
            async with asyncio.timeout(within), self._more:
                await self._more.wait_for(lambda: bool(self._jobs) or self.is_closed)
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1
        return True

    def take(self) -> Job | None:
        """Take the next job; None when there is none to begin."""
        return self._jobs.popleft() if self._jobs and not self.is_closed else None

    def put_back(self, job: Job) -> None:
        """Return a job that was taken and not begun: it is the next."""
        self._jobs.appendleft(job)

    def give_back(self, *begun: Job) -> None:
        """Let go of all jobs, and of those that were begun and left nothing at a server."""
        jobs = (*begun, *self._jobs)
        self._jobs.clear()
        self.is_dry = True
        if jobs:
            worker_id = self._equipment.lease.worker_id
            self._equipment.recorder.put(GivenBack(jobs=jobs, worker_id=worker_id))

    async def close(self) -> None:
        """Hand out nothing more and let go of what is left."""
        self.is_closed = True
        await self._notify()
        self.give_back()
