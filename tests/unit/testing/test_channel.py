"""A connection of the lab's servers at the level of asyncio."""

import asyncio
import gc
import socket
import ssl
import warnings

from outbox.testing.channel import Channel


class Server(Channel):
    """Begins TLS with the first byte of the client."""

    ended = False

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def _read(self) -> bool:
        self._buffer.clear()
        self._out.append(b"+OK Begin TLS\r\n")
        self.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.begun.set()
        return True

    def _end(self, exc: Exception | None) -> None:
        self.ended = True

    async def handshake(self) -> None:
        """Wait for the end of the handshake."""
        await self.begun.wait()
        assert self._task is not None
        await self._task


def test_no_handshake_begins_after_the_client_has_left() -> None:
    """asyncio would wait for its time limit, and leave the transport of TLS open."""

    async def begin_tls() -> Server:
        near, far = socket.socketpair()
        far.send(b"STLS\r\n")
        far.close()  # so that the reply cannot be sent
        near.setblocking(False)
        loop = asyncio.get_running_loop()
        _, server = await loop.connect_accepted_socket(Server, near)
        async with asyncio.timeout(10):
            await server.handshake()
        return server

    gc.collect()  # what earlier tests left open is not about this one
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        server = asyncio.run(begin_tls())
        gc.collect()
    assert server.ended
    assert not found
