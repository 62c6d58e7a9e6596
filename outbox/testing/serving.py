"""Run an asyncio server: in a thread for tests, or as a process's one job until a signal."""

import asyncio
import contextlib
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from outbox.testing.receiver import Receiver

Factory = Callable[[], Receiver]


async def listen(
    factory: Factory, host: str | Sequence[str], port: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.Server, set[Receiver]]:
    """Start to listen; return the server and the set of its current receivers."""
    receivers: set[Receiver] = set()

    def make() -> Receiver:
        receiver = factory()
        receivers.add(receiver)
        receiver.when_closed(lambda: receivers.discard(receiver))
        return receiver

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, host, port, ssl=tls, backlog=1024)
    return server, receivers


async def serve_until_signalled(
    factory: Factory, host: str | Sequence[str], port: int, ready: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then abort every connection; `ready` gets the port."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, over.set)
    server, receivers = await listen(factory, host, port)
    ready(port_of(server))
    await over.wait()
    _end(server, receivers)


@contextlib.contextmanager
def serving_in_thread(
    factory: Factory, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve while the block runs; yield the port."""
    with loop_in_thread() as loop:
        started = asyncio.run_coroutine_threadsafe(listen(factory, host, port, tls), loop)
        server, receivers = started.result(timeout=10)
        try:
            yield port_of(server)
        finally:
            loop.call_soon_threadsafe(_end, server, receivers)


@contextlib.contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread while the block runs; cancel its tasks at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="outbox-testing", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(_cancel_tasks())
    loop.close()


async def _cancel_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the last callbacks of aborted transports


def _end(server: asyncio.Server, receivers: set[Receiver]) -> None:
    server.close()
    for receiver in tuple(receivers):
        receiver.abort()


def port_of(server: asyncio.Server) -> int:
    """Return the port on which a server listens."""
    port: int = server.sockets[0].getsockname()[1]
    return port


def write_port(path: Path, port: int) -> None:
    """Write the port to a file atomically, for the process that waits for it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(f"{port}\n", "ascii")
    temporary.replace(path)
