"""The connections of one runner: a part of the process's, and a slot of the destination for each.

Slots enforce the account's limit over all workers. The pool keeps one owner from using all the
connections that this process may open.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from django.db import transaction

from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery import lease, limits
from outbox.delivery.claim import ClaimInDoubtError
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import SlotsReleased
from outbox.delivery.lease import Lease
from outbox.delivery.limits import HeldSlot
from outbox.delivery.pool import owner_of
from outbox.models import Destination


@dataclass(slots=True)
class SlotRequest:
    """Slots that a runner wants. The claimer's thread reserves them, mostly within a claim.

    The transaction that reserves them locks the worker, so that its end can be waited for after the
    connection was lost (`DeliveryContext.claim_ended`).
    """

    destination: Destination
    held_lease: Lease
    using: str
    most: int  # slots, which the pool of the process allows
    held: int  # slots that the runner has already
    jobs_waiting: int  # claimed jobs without a session; negative: sessions without a job
    jobs_per_session: int = 1  # see `sessions_for`
    reserved: list[HeldSlot] = field(default_factory=list)  # and not used; in doubt after an error
    used: int = 0  # slots that sessions have
    has_looked: bool = False
    _free: list[int] = field(default_factory=list)

    def look(self) -> bool:
        """Look for free slots. Return False if no session may begin and none is open."""
        self.has_looked = True
        lease.count_workers_again(self.held_lease, self.using)
        if self.held_lease.is_draining or self.held_lease.lost:
            return False
        wanted = min(self.most, share_of(self.destination, self.held_lease) - self.held)
        if wanted > 0:
            limit = limits.connections_of(self.destination, self.held_lease.now)
            self._free = limits.free_slots(self.destination.pk, limit, self.using)[:wanted]
        return bool(self._free or self.held)

    def reserve(self, new_jobs: int) -> None:
        """Reserve slots for jobs that have no session, as far as some are free.

        A transaction of the caller has claimed the new jobs.
        """
        jobs = self.jobs_waiting + new_jobs
        wanted = sessions_for(jobs, self.jobs_per_session, has_session=bool(self.held))
        numbers = self._free[:wanted]
        if numbers and not new_jobs:
            lease.lock(self.held_lease.worker_id, self.using)
        self.reserved = limits.insert_slots(
            self.destination.pk, self.held_lease.worker_id, numbers, self.using
        )

    @property
    def has_any(self) -> bool:
        """Return whether the runner has a session, or a slot for one."""
        return bool(self.held or self.reserved)

    def look_and_reserve(self) -> None:
        """Reserve slots for the jobs that are waiting."""
        with transaction.atomic(using=self.using):
            if self.look():
                self.reserve(0)

    def use(self, number: int) -> list[HeldSlot]:
        """Return up to `number` of the reserved slots, each for a session."""
        slots, self.reserved = self.reserved[:number], self.reserved[number:]
        self.used += len(slots)
        return slots


def sessions_for(jobs: int, jobs_per_session: int, *, has_session: bool) -> int:
    """Return how many more sessions waiting jobs are worth.

    A connection costs several times as much as a message. So fewer than `jobs_per_session` jobs
    wait for a session that is open already.
    """
    if jobs <= 0:
        return 0
    return max(jobs // jobs_per_session, 0 if has_session else 1)


def share_of(destination: Destination, held: Lease) -> int:
    """Return how many connections a worker may have to a destination."""
    return limits.fair_share(limits.connections_of(destination, held.now), held.workers_alive)


class RunnerSlots:
    """Reserves slots for one runner and releases them."""

    def __init__(self, context: DeliveryContext, destination: Destination) -> None:
        self._context = context
        self._destination_id = destination.pk
        self._owner = owner_of(destination.account)
        self._held = 0

    @asynccontextmanager
    async def requested(
        self,
        wanted: int,
        destination: Destination,
        jobs_waiting: int,
        jobs_per_session: int = 1,
    ) -> AsyncIterator[SlotRequest]:
        """Request up to `wanted` slots, within this worker's share and what its process may open.

        Those that were reserved and not used within the block are released. If the connection was
        lost while they were reserved, perhaps they are. Then the block ends once they are released,
        since a release must not find a slot that was reserved later.
        """
        pool = self._context.connections
        most = pool.take_up_to(self._owner, wanted)
        request = SlotRequest(
            destination=destination,
            held_lease=self._context.lease,
            using=self._context.using,
            most=most,
            held=self._held,
            jobs_waiting=jobs_waiting,
            jobs_per_session=jobs_per_session,
        )
        is_in_doubt = False
        try:
            yield request
        except (ClaimInDoubtError, *DATABASE_UNAVAILABLE):
            is_in_doubt = bool(request.reserved)
            raise
        finally:
            held = request.used + len(request.reserved)
            pool.give_back(self._owner, most - held)
            self._held += held
            if is_in_doubt:
                await self._context.claim_ended()
            self.release(request.reserved)
            if is_in_doubt:
                await self._context.recorder.caught_up(self._destination_id)

    def share(self, destination: Destination) -> int:
        """Return how many connections this worker may have to the destination."""
        return share_of(destination, self._context.lease)

    def release(self, slots: list[HeldSlot]) -> None:
        """Release slots through the recorder, which retries while the database is unavailable."""
        if not slots:
            return
        self._held -= len(slots)
        self._context.connections.give_back(self._owner, len(slots))
        self._context.recorder.put(
            SlotsReleased(
                destination_id=self._destination_id,
                slots=tuple(slots),
            )
        )
