"""The items that wait for a group commit, bounded in number and in bytes.

The items of one destination stay in order. While more waits than one commit takes, each
destination gets an equal share of it, so that the long replies of one server do not delay the marks
of the others.
"""

import asyncio
from collections import Counter, deque

from outbox.delivery.job import RecordItem

ITEMS_MAX = 400  # items in one commit
BYTES_MAX = 1_000_000  # bytes of text in one commit; the last item of a share may exceed it
_BACKLOG_ITEMS = 2_000  # items that may wait before no new transaction begins
_BACKLOG_BYTES = 1_000_000  # bytes that may wait for one destination

Waiting = tuple[RecordItem, asyncio.Future[bool] | None]


class RecordQueue:
    """A queue without a lock; its owner has one."""

    def __init__(self) -> None:
        self._items: deque[Waiting] = deque()
        self._bytes: Counter[int] = Counter()  # by destination
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)

    def append(self, item: RecordItem, future: asyncio.Future[bool] | None = None) -> None:
        """Add an item as the last one."""
        self._items.append((item, future))
        if item.size:
            self._bytes[item.destination_id] += item.size
            self._size += item.size

    def has_room_for(self, destination_id: int) -> bool:
        """Return whether a new transaction with the destination may begin."""
        return len(self._items) <= _BACKLOG_ITEMS and self._bytes[destination_id] <= _BACKLOG_BYTES

    def take(self) -> list[Waiting]:
        """Remove and return the items of the next commit."""
        if self._size <= BYTES_MAX:
            taken = [self._items.popleft() for _ in range(min(len(self._items), ITEMS_MAX))]
        else:
            taken = self._take_shares()
        for item, _ in taken:
            self._forget(item)
        return taken

    def _take_shares(self) -> list[Waiting]:
        taken: list[Waiting] = []
        left: deque[Waiting] = deque()
        share = BYTES_MAX // len({item.destination_id for item, _ in self._items})
        used: Counter[int] = Counter()
        closed: set[int] = set()  # whose next item waits, and so do those after it
        for item, future in self._items:
            key = item.destination_id
            if key in closed or len(taken) >= ITEMS_MAX or used[key] >= share:
                closed.add(key)
                left.append((item, future))
            else:
                taken.append((item, future))
                used[key] += item.size
        self._items = left
        return taken

    def _forget(self, item: RecordItem) -> None:
        if item.size:
            self._size -= item.size
            self._bytes[item.destination_id] -= item.size
            if self._bytes[item.destination_id] <= 0:
                del self._bytes[item.destination_id]
