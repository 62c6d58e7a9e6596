"""A small SMTP server to converse with: correct unless a test says otherwise.

`FarEnd(replies={"RCPT": ["250 ok", "550 5.1.1 no"]})` answers the first RCPT with the first entry,
and so on; the last entry stays. An entry is the reply's text, or one of the acts below. Everything
received is in `commands` and `mails`.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from outbox.smtp import Security, Server


class Act(Enum):
    """What a server can do in place of answering."""

    CLOSE = auto()
    RESET = auto()
    IGNORE = auto()  # give no answer to this command
    SILENCE = auto()  # keep the connection, say and read no more


@dataclass(frozen=True)
class Drip:
    """Say it one byte at a time."""

    data: bytes
    seconds: float  # between two bytes


@dataclass(frozen=True)
class Raw:
    """Say exactly these bytes, then perhaps act."""

    data: bytes
    then: Act | None = None


Entry = str | Act | Drip | Raw
OFFERS = ("PIPELINING", "SIZE 35882577", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES")

_DEFAULTS: dict[str, Entry] = {
    "GREETING": "220 far.test ESMTP",
    "HELO": "250 far.test",
    "STARTTLS": "220 2.0.0 go ahead",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go ahead",
    "DOT": "250 2.0.0 Ok: queued as 4FAR12",
    "BDAT": "250 2.0.0 chunk ok",
    "RSET": "250 2.0.0 forgotten",
    "QUIT": "221 2.0.0 bye",
}


class _OverError(Exception):
    """This conversation ends here."""


@dataclass
class FarEnd:
    """One server; every connection draws from the same replies."""

    replies: Mapping[str, Entry | Sequence[Entry]] = field(default_factory=dict)
    offers: Sequence[str] = OFFERS
    offers_in_tls: Sequence[str] | None = None  # None: the same
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    reads_body: bool = True
    body_bytes_per_second: int = 0  # 0: as fast as it can
    closes_after_body_bytes: int = 0  # 0: never
    receive_buffer: int = 0  # of the kernel; small, so that a slow reader looks like a slow link
    bytes_in_body: int = 0  # of the last body, before its end came
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    sni: list[str | None] = field(default_factory=list)
    _used: dict[str, int] = field(default_factory=dict)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _conversations: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator["FarEnd"]:
        if self.tls is not None:
            self.tls.sni_callback = lambda _tls, name, _context: self.sni.append(name)
        listener = socket.create_server((host, 0))
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        server = await asyncio.start_server(
            self._converse, sock=listener, ssl=self.tls if self.implicit_tls else None
        )
        self.port = listener.getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._conversations:
                task.cancel()
            await asyncio.gather(*self._conversations, return_exceptions=True)
            await asyncio.sleep(0)  # aborted transports close in the next pass of the loop

    def server(self, **changes: object) -> Server:
        """How to reach it."""
        values: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "security": Security.NONE,
            "ehlo_name": "client.test",
        }
        return Server(**(values | changes))  # type: ignore[arg-type]  # a test's own choice

    def entry(self, name: str) -> Entry:
        given = self.replies.get(name, _DEFAULTS.get(name, "250 ok"))
        if isinstance(given, str | Act | Drip | Raw):
            return given
        used = self._used.get(name, 0)
        self._used[name] = used + 1
        return given[min(used, len(given) - 1)]

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait for what the server is to hear; a test's own limit bounds it."""
        while not claim():  # noqa: ASYNC110 - one poller in a test, and nothing to be told by
            await asyncio.sleep(0.002)

    async def heard(self, command: str, times: int = 1) -> None:
        """Wait until a command came so many times."""
        await self.until(lambda: self.commands.count(command) >= times)

    def say_unasked(self, data: bytes) -> None:
        """Say something on every open connection."""
        for writer in self._writers:
            writer.write(data)

    def hang_up(self, last_words: bytes = b"") -> None:
        """Close every open connection, with last words."""
        self.say_unasked(last_words)
        for writer in self._writers:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        self._writers.append(writer)
        over = (_OverError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*over):
            try:
                await _Conversation(self, reader, writer).run()
            finally:
                # Past an end of its own it still flushes; past ours there is nobody left to read.
                writer.close() if task.cancelling() == 0 else writer.transport.abort()


@dataclass
class _Conversation:
    far_end: FarEnd
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    secured: bool = False
    recipients: int = 0
    body: bytes = b""

    async def run(self) -> None:
        self.secured = self.far_end.implicit_tls
        await self.say("GREETING")
        while line := await self.reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.far_end.commands.append(command)
            await self.obey(command)

    async def obey(self, command: str) -> None:
        verb = command.split(" ", 1)[0].upper()
        if verb == "EHLO":
            await self.say("EHLO", self.welcome())
        elif verb == "STARTTLS":
            await self.start_tls()
        elif verb == "RCPT":
            self.recipients += (await self.say("RCPT")).startswith("2")
        elif verb == "DATA":
            await self.data()
        elif verb == "BDAT":
            await self.chunk(command)
        else:
            if verb in {"MAIL", "RSET"}:
                self.recipients, self.body = 0, b""
            await self.say(verb)
            if verb == "QUIT":
                raise _OverError

    def welcome(self) -> str:
        offers = self.far_end.offers
        if self.secured and self.far_end.offers_in_tls is not None:
            offers = self.far_end.offers_in_tls
        lines = ["far.test", *offers]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    async def start_tls(self) -> None:
        await self.say("STARTTLS")
        if "STARTTLS" not in self.far_end.replies:
            assert self.far_end.tls is not None
            await self.writer.start_tls(self.far_end.tls)
            self.secured = True

    async def data(self) -> None:
        if not self.recipients and "DATA" not in self.far_end.replies:
            await self.write("554 5.5.1 no valid recipients")
            return
        if not (await self.say("DATA")).startswith("354"):
            return
        body = b"\r\n"
        while b"\r\n.\r\n" not in body[-5:]:
            body += await self.some_of_body(65_536)
        self.far_end.mails.append(body[2:-3].replace(b"\r\n.", b"\r\n").removeprefix(b"."))
        self.far_end.commands.append(".")
        await self.say("DOT")

    async def chunk(self, command: str) -> None:
        _, size, *last = command.split()
        end = len(self.body) + int(size)
        while len(self.body) < end:
            self.body += await self.some_of_body(end - len(self.body))
        name = "DOT" if last else "BDAT"
        if not self.recipients and name not in self.far_end.replies:
            await self.write("503 5.5.1 no valid recipients")
            return
        if last:
            self.far_end.mails.append(self.body)
        await self.say(name)

    async def some_of_body(self, limit: int) -> bytes:
        far_end = self.far_end
        if not far_end.reads_body:
            await self.act(Act.SILENCE)
        piece = await self.reader.read(min(limit, 65_536))
        if not piece:
            raise _OverError
        far_end.bytes_in_body += len(piece)
        if 0 < far_end.closes_after_body_bytes < far_end.bytes_in_body:
            raise _OverError
        if far_end.body_bytes_per_second:
            await asyncio.sleep(len(piece) / far_end.body_bytes_per_second)
        return piece

    async def say(self, name: str, default: str = "") -> str:
        entry = self.far_end.entry(name) if name in self.far_end.replies or not default else default
        if isinstance(entry, str):
            await self.write(entry)
            return entry
        if isinstance(entry, Drip):
            for byte in entry.data:
                self.writer.write(bytes([byte]))
                await asyncio.sleep(entry.seconds)
            return entry.data.decode("latin-1")
        if isinstance(entry, Raw):
            self.writer.write(entry.data)
            await self.writer.drain()
            if entry.then is not None:
                await self.act(entry.then)
            return entry.data.decode("latin-1")
        await self.act(entry)
        return ""

    async def act(self, act: Act) -> None:
        if act is Act.IGNORE:
            return
        if act is Act.SILENCE:
            await asyncio.sleep(3600)
        if act is Act.RESET:
            sock: socket.socket = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        raise _OverError

    async def write(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()
