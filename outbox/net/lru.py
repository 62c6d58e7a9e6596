"""A cache of a bounded size."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Forgets what was not set or read for the longest time."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._size_max:
            self._values.popitem(last=False)

    def get(self, key: K) -> V | None:
        """Return the value of a key, which becomes the last one to be forgotten; else None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def discard(self, key: K) -> None:
        """Forget a key if it is there."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Forget all keys."""
        self._values.clear()
