"""What the accounts of one worker share: connections, and memory for large messages.

The worker has a fixed amount of each. An owner may hold as much as remains free after that (the
dynamic threshold of switches with shared buffers): a single owner gets half, two get a third each,
and there is always a part for an owner that comes later, however long the others keep theirs.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from outbox.models import Account

Owner = Hashable
_PATIENCE = 5.0  # seconds after which one owner at a time may exceed the whole


class Pool:
    """An amount of which owners take parts and give them back. For one thread."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._held: Counter[Owner] = Counter()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_exceeded = False

    def take(self, owner: Owner, amount: int) -> bool:
        """Add an amount to what the owner holds, and return True, if the owner's share allows it.

        What is larger than the share, or than the whole pool, is given to an owner that holds
        nothing, and to the only owner. So nothing waits for ever.
        """
        held, free = self._held[owner], self.total - self.used
        if self.used and amount > (free if not held else (free - held) // 2):
            return False
        self._add(owner, amount)
        return True

    def take_up_to(self, owner: Owner, wanted: int) -> int:
        """Return how many of `wanted` the owner's share allowed; they were taken one by one."""
        taken = 0
        while taken < wanted and self.take(owner, 1):
            taken += 1
        return taken

    def give_back(self, owner: Owner, amount: int) -> None:
        """Return an amount to the pool."""
        self.used -= amount
        self._held[owner] -= amount
        if not self._held[owner]:
            del self._held[owner]
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    @asynccontextmanager
    async def holding(self, owner: Owner, amount: int) -> AsyncIterator[None]:
        """Hold an amount during a block, and wait for it before.

        An owner that holds nothing waits a few seconds at most, unless another one has exceeded the
        whole for the same reason: what others hold for hours must not stop a large message.
        """
        exceeds = await self._obtain(owner, amount)
        try:
            yield
        finally:
            if exceeds:
                self._is_exceeded = False
            self.give_back(owner, amount)

    async def _obtain(self, owner: Owner, amount: int) -> bool:
        """Wait for an amount. Return whether the whole is exceeded by it."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _PATIENCE
        while not self.take(owner, amount):
            if loop.time() >= ends_at and not self._held[owner] and not self._is_exceeded:
                self._is_exceeded = True
                self._add(owner, amount)
                return True
            await self._change(max(ends_at - loop.time(), _PATIENCE / 10))
        return False

    async def _change(self, seconds: float) -> None:
        """Wait until something was given back, or for some seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiting.remove(waiter)

    def _add(self, owner: Owner, amount: int) -> None:
        self._held[owner] += amount
        self.used += amount


def owner_of(account: Account) -> Owner:
    """Return who shares with the others: a person with all their accounts, or an app's account."""
    return ("owner", account.owner_id) if account.owner_id else ("account", account.pk)
