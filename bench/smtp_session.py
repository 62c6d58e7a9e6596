"""Time one warm SMTP session against a tiny sink in another process, beside smtplib's loop.

    python bench/smtp_session.py [--mails 5000] [--rounds 5]

Prints mails a second and CPU of the client's process a mail, the best round of each. Quote the
ratio, not the figures: they move with the machine.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import multiprocessing
import smtplib
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from outbox.smtp import Envelope, Security, Server, Session

_HEAD = (
    b"From: Ann <ann@client.test>\r\nTo: bob@far.test\r\nSubject: A letter of two kilobytes\r\n"
    b"Message-ID: <1@client.test>\r\nDate: Mon, 03 Aug 2026 10:00:00 +0000\r\n\r\n"
)
SOURCE = (_HEAD + b"The quick brown fox jumps over the lazy dog, again and again.\r\n" * 40)[:1998]
SOURCE += b"\r\n"
SENDER, RECIPIENT = "ann@client.test", "bob@far.test"


class Sink(asyncio.Protocol):
    """Answers as a server would, groups of commands in one write; keeps nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.in_body = False
        self.chunk = 0
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        replies: list[bytes] = []
        while self.take(replies):
            pass
        if replies:
            self.transport.write(b"".join(replies))

    def take(self, replies: list[bytes]) -> bool:
        end = b"\r\n.\r\n" if self.in_body else b"\r\n"
        if self.chunk:
            if len(self.buffer) < self.chunk:
                return False
            self.buffer, self.chunk = self.buffer[self.chunk :], 0
            replies.append(b"250 2.0.0 Ok: queued as 4SINK\r\n")
            return True
        line, found, rest = self.buffer.partition(end)
        if not found:
            return False
        self.buffer = rest
        if self.in_body:
            self.in_body = False
            replies.append(b"250 2.0.0 Ok: queued as 4SINK\r\n")
        else:
            self.obey(line, replies)
        return True

    def obey(self, line: bytes, replies: list[bytes]) -> None:
        verb = line[:4].upper()
        if verb == b"BDAT":
            self.chunk = int(line.split()[1])
        elif verb == b"DATA":
            self.in_body = True
            replies.append(b"354 go ahead\r\n")
        elif verb == b"EHLO":
            replies.append(b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE\r\n")
        else:
            replies.append(b"221 bye\r\n" if verb == b"QUIT" else b"250 2.1.0 Ok\r\n")


def run_sink(ready: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """Run the sink in a process of its own; gives its port."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=run_sink, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def with_smtplib(port: int, mails: int) -> tuple[float, float]:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.test") as client:
        client.ehlo()
        return timed(lambda: repeat(mails, lambda: client.sendmail(SENDER, [RECIPIENT], SOURCE)))


def with_session(server: Server, mails: int) -> tuple[float, float]:
    async def run() -> tuple[float, float]:
        session = await Session.open(server)
        envelope = Envelope(sender=SENDER, recipients=(RECIPIENT,))
        digest = hashlib.sha256(SOURCE).hexdigest()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(mails):
            transaction = await session.send(envelope, SOURCE, yes, source_sha256=digest)
            assert transaction.queue_id == "4SINK"
        spent = time.perf_counter() - wall, time.process_time() - cpu
        await session.quit()
        return spent

    return asyncio.run(run())


async def yes() -> bool:
    return True


def repeat(times: int, act: Callable[[], object]) -> None:
    for _ in range(times):
        act()


def timed(act: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with sink() as port:
        server = Server(
            host="127.0.0.1", port=port, security=Security.NONE, ehlo_name="client.test"
        )
        stepwise = dataclasses.replace(server, pipelining=False, chunking=False)
        pipelined = dataclasses.replace(server, chunking=False)
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "smtplib": lambda: with_smtplib(port, options.mails),
            "step by step": lambda: with_session(stepwise, options.mails),
            "pipelined": lambda: with_session(pipelined, options.mails),
            "all at once": lambda: with_session(server, options.mails),
        }
        print(f"{'':14}{'mails/s':>10}{'CPU ms/mail':>14}")
        for name, way in ways.items():
            if options.only in name:
                rounds = [way() for _ in range(options.rounds)]
                wall, cpu = (min(round_[n] for round_ in rounds) for n in (0, 1))
                print(f"{name:14}{options.mails / wall:>10,.0f}{cpu / options.mails * 1000:>14.3f}")


if __name__ == "__main__":
    main()
