"""What the engine does with every runner: feed it, return what it has claimed, and close it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection

from outbox.delivery.claimed import ClaimedJobs
from outbox.delivery.context import DeliveryContext
from outbox.models import Destination


class Runner(ABC):
    """Does all that one worker does for one destination."""

    def __init__(self, context: DeliveryContext, destination: Destination) -> None:
        self.destination = destination
        self._context = context
        self._claimed = ClaimedJobs(context)
        self._feeding = asyncio.Lock()

    @property
    @abstractmethod
    def has_jobs(self) -> bool:
        """Return whether a job waits here, or is in progress."""

    @property
    def is_busy(self) -> bool:
        """Return whether it must not be removed: it works, or has something to close."""
        return not self.is_idle

    @property
    def is_idle(self) -> bool:
        """Return whether it has no job and claims none. It may have sessions that wait."""
        return not (self.has_jobs or self._feeding.locked())

    @property
    def is_closed(self) -> bool:
        """Return whether it begins nothing more."""
        return self._claimed.is_closed

    @property
    def claimed_messages(self) -> set[int]:
        """Return the messages of the jobs that were not begun."""
        return self._claimed.message_ids

    def return_claimed(self, messages: Collection[int] | None = None) -> None:
        """Return the jobs that were not begun, all of them or those of some messages."""
        if messages is None:
            self._claimed.return_all()
        else:
            self._claimed.return_some(messages)

    @abstractmethod
    async def feed_due(self, destination: Destination, seen_at: float) -> None:
        """Begin what is due, as the database showed at `seen_at` of the loop's clock."""

    async def retire(self) -> None:
        """Begin nothing more. What has begun is finished."""
        await self._claimed.close()

    @abstractmethod
    async def close(self, patience: float) -> None:
        """Begin nothing more, wait for what has begun, and end what takes too long."""
