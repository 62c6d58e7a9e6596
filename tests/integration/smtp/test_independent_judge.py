"""aiosmtpd, written by others, has to read exactly what was sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as Received

from outbox.smtp import Connection, Disposition, Envelope, Security, Server

SOURCES = {
    "plain": b"Subject: x\r\n\r\nhello\r\n",
    "leading dots": b".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n",
    "dot at the end": b"a\r\n.",
    "no newline at the end": b"Subject: x\r\n\r\nhello",
    "many newlines at the end": b"Subject: x\r\n\r\nhello\r\n\r\n\r\n",
    "bare line ends": b"Subject: x\n\nhello\r.\rworld\n.\n",
    "eight bits": "Subject: x\r\n\r\ngrüße\r\n".encode(),
    "large": (b"x" * 76 + b"\r\n.\r\n") * 20_000,
}


class Keeping:
    """Store every message unchanged."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Received) -> str:  # noqa: N802 - aiosmtpd's name for it
        self.received.append(envelope)
        return "250 2.0.0 kept"


@asynccontextmanager
async def judging() -> AsyncIterator[tuple[Keeping, Server]]:
    keeping = Keeping()
    loop = asyncio.get_running_loop()
    protocols: list[SMTP] = []

    def factory() -> SMTP:
        protocols.append(SMTP(keeping, hostname="judge.test", enable_SMTPUTF8=True, loop=loop))
        return protocols[-1]

    listener = await loop.create_server(factory, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield (
            keeping,
            Server(host="127.0.0.1", port=port, security=Security.NONE, ehlo_name="client.test"),
        )
    finally:
        listener.close()
        for protocol in protocols:
            if protocol.transport is not None:
                protocol.transport.close()
        await asyncio.sleep(0)


async def permit() -> bool:
    return True


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_it_reads_what_was_sent(source: bytes) -> None:
    """Protocol items 64 to 66."""
    async with judging() as (keeping, server):
        session = await Connection.open(server)
        envelope = Envelope(sender="a@x.test", recipients=("b@y.test", '"c d"@y.test'))
        transaction = await session.send(envelope, source, permit)
        await session.quit()
    assert transaction.recipients[1].disposition is Disposition.ACCEPTED
    (received,) = keeping.received
    canonical = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    assert received.original_content == (canonical + b"\n").replace(b"\n", b"\r\n")
    assert received.mail_from == "a@x.test"
    assert received.rcpt_tos == ["b@y.test", '"c d"@y.test']


async def test_it_reads_addresses_outside_ascii() -> None:
    """Protocol items 51 and 52."""
    async with judging() as (keeping, server):
        session = await Connection.open(server)
        envelope = Envelope(sender="jörg@bücher.test", recipients=("b@bücher.test",))
        await session.send(envelope, SOURCES["plain"], permit)
        envelope = Envelope(sender="a@bücher.test", recipients=("b@bücher.test",))
        await session.send(envelope, SOURCES["plain"], permit)
        await session.quit()
    first, second = keeping.received
    assert first.mail_from == "jörg@bücher.test"
    assert second.mail_from == "a@xn--bcher-kva.test"
