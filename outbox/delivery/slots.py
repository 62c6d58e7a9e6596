"""The connections of one runner: a part of the process's, and a slot of the destination for each.

Slots enforce the account's limit over all workers. The pool keeps one owner from using all the
connections that this process may open.
"""

from functools import partial

from outbox.delivery import lease, limits
from outbox.delivery.context import DeliveryContext
from outbox.delivery.job import SlotsReleased
from outbox.delivery.pool import owner_of
from outbox.models import Destination


class RunnerSlots:
    """Reserves slots for one runner and releases them."""

    def __init__(self, context: DeliveryContext, destination: Destination) -> None:
        self._context = context
        self._destination_id = destination.pk
        self._owner = owner_of(destination.account)
        self._held = 0

    async def take(self, wanted: int, destination: Destination) -> list[int]:
        """Reserve up to `wanted` slots, within this worker's share of them."""
        allowed = self._context.connections.take_up_to(self._owner, wanted)
        slots: list[int] = []
        try:
            if allowed:
                slots = await self._context.in_claimer(
                    partial(self._within_share, allowed, destination)
                )
        finally:
            self._context.connections.give_back(self._owner, allowed - len(slots))
            self._held += len(slots)
        return slots

    def _within_share(self, wanted: int, destination: Destination) -> list[int]:
        """Reserve slots, in the claimer's thread."""
        held, using = self._context.lease, self._context.using
        lease.count_workers(held, using)
        return limits.take_slots(
            self._destination_id,
            held.worker_id,
            wanted=max(0, min(wanted, self.share(destination) - self._held)),
            limit=limits.connections_of(destination, held.now),
            using=using,
        )

    def share(self, destination: Destination) -> int:
        """Return how many connections this worker may have to the destination."""
        return limits.fair_share(
            limits.connections_of(destination, self._context.lease.now),
            self._context.lease.workers_alive,
        )

    def release(self, slots: list[int]) -> None:
        """Release slots through the recorder, which retries while the database is unavailable."""
        if not slots:
            return
        self._held -= len(slots)
        self._context.connections.give_back(self._owner, len(slots))
        self._context.recorder.put(
            SlotsReleased(
                destination_id=self._destination_id,
                worker_id=self._context.lease.worker_id,
                slots=tuple(slots),
            )
        )
