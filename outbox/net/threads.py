"""Work that blocks, in a thread that the end of the process does not wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Run work in a new thread of this name and return its result, or raise its error.

    The interpreter joins pool threads at exit. If the caller is cancelled, the result is dropped.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # raised where it is awaited
            end: Callable[[], None] = partial(_fail, found, error)
        else:
            end = partial(_succeed, found, result)
        with suppress(RuntimeError):  # the loop has ended, and nothing waits
            loop.call_soon_threadsafe(end)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await found


def _fail(found: asyncio.Future[T], error: Exception) -> None:
    if not found.done():
        found.set_exception(error)


def _succeed(found: asyncio.Future[T], result: T) -> None:
    if not found.done():
        found.set_result(result)
