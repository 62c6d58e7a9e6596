"""Waiting for what another thread does."""

import asyncio
from collections.abc import Callable
from itertools import count


async def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Wait until a condition is true. Raise TimeoutError."""
    async with asyncio.timeout(within):
        for _ in count():
            if condition():
                return
            await asyncio.sleep(0.01)
