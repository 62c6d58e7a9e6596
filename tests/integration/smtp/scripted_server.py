"""A small SMTP server on a socket, correct except for the replies that a test chooses.

`tests.smtp_replies` explains the replies. An entry is the text of a reply, or one of the actions
below. Everything received is in `commands` and `messages`.
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
from tests.smtp_replies import ScriptedReplies


class ServerAction(Enum):
    """What the server can do instead of replying."""

    CLOSE = auto()
    RESET = auto()
    IGNORE = auto()  # send no reply to this command
    SILENCE = auto()  # keep the connection, read and send nothing


@dataclass(frozen=True)
class Drip:
    """Send the bytes one at a time."""

    data: bytes
    seconds: float  # between two bytes


@dataclass(frozen=True)
class Raw:
    """Send exactly these bytes, then perhaps perform an action."""

    data: bytes
    then: ServerAction | None = None


Entry = str | ServerAction | Drip | Raw
EXTENSIONS = (
    "PIPELINING",
    "SIZE 35882577",
    "8BITMIME",
    "SMTPUTF8",
    "CHUNKING",
    "ENHANCEDSTATUSCODES",
)


class _OverError(Exception):
    """The connection ends here."""


@dataclass
class ScriptedServer:
    """One server; all connections share its replies."""

    replies: Mapping[str, Entry | Sequence[Entry]] = field(default_factory=dict)
    extensions: Sequence[str] = EXTENSIONS
    extensions_in_tls: Sequence[str] | None = None  # None: the same
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    reads_body: bool = True
    body_bytes_per_second: int = 0  # 0: as fast as it can
    closes_after_body_bytes: int = 0  # 0: never
    receive_buffer: int = 0  # of the kernel; small, so that a slow reader looks like a slow link
    bytes_in_body: int = 0  # of the last body, before its end came
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    sni: list[str | None] = field(default_factory=list)
    _replies: ScriptedReplies[Entry] = field(init=False)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _conversations: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._replies = ScriptedReplies(self.replies)

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1") -> AsyncIterator["ScriptedServer"]:
        if self.tls is not None:
            self.tls.sni_callback = lambda _tls, name, _context: self.sni.append(name)
        listener = socket.create_server((host, 0))
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        server = await asyncio.start_server(
            self._serve, sock=listener, ssl=self.tls if self.implicit_tls else None
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
        """Return the address of this server."""
        values: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "security": Security.NONE,
            "ehlo_name": "client.test",
        }
        return Server(**(values | changes))  # type: ignore[arg-type]  # a test's own choice

    def next_entry(self, command: str) -> Entry:
        """Return the reply to the next command of this name."""
        return self._replies.next(command)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; the timeout of the test limits it."""
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)

    async def wait_for_command(self, command: str, times: int = 1) -> None:
        """Wait until a command was received some times."""
        await self.until(lambda: self.commands.count(command) >= times)

    def send_unsolicited(self, data: bytes) -> None:
        """Send bytes on every open connection."""
        for writer in self._writers:
            writer.write(data)

    def close_all(self, last_words: bytes = b"") -> None:
        """Close every open connection, after some last bytes."""
        self.send_unsolicited(last_words)
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                # Its own end still flushes; after the end of the test no client reads.
                writer.close() if task.cancelling() == 0 else writer.transport.abort()


@dataclass
class _Conversation:
    remote: ScriptedServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    secured: bool = False
    recipients: int = 0
    body: bytes = b""

    async def run(self) -> None:
        self.secured = self.remote.implicit_tls
        await self.say("GREETING")
        while line := await self.reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.remote.commands.append(command)
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
        extensions = self.remote.extensions
        if self.secured and self.remote.extensions_in_tls is not None:
            extensions = self.remote.extensions_in_tls
        lines = ["far.test", *extensions]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    async def start_tls(self) -> None:
        await self.say("STARTTLS")
        if "STARTTLS" not in self.remote.replies:
            assert self.remote.tls is not None
            await self.writer.start_tls(self.remote.tls)
            self.secured = True

    async def data(self) -> None:
        if not self.recipients and "DATA" not in self.remote.replies:
            await self.write("554 5.5.1 no valid recipients")
            return
        if not (await self.say("DATA")).startswith("354"):
            return
        body = b"\r\n"
        while b"\r\n.\r\n" not in body[-5:]:
            body += await self.some_of_body(65_536)
        self.remote.messages.append(body[2:-3].replace(b"\r\n.", b"\r\n").removeprefix(b"."))
        self.remote.commands.append(".")
        await self.say("DOT")

    async def chunk(self, command: str) -> None:
        _, size, *last = command.split()
        end = len(self.body) + int(size)
        while len(self.body) < end:
            self.body += await self.some_of_body(end - len(self.body))
        name = "DOT" if last else "BDAT"
        if not self.recipients and name not in self.remote.replies:
            await self.write("503 5.5.1 no valid recipients")
            return
        if last:
            self.remote.messages.append(self.body)
        await self.say(name)

    async def some_of_body(self, limit: int) -> bytes:
        remote = self.remote
        if not remote.reads_body:
            await self.perform(ServerAction.SILENCE)
        piece = await self.reader.read(min(limit, 65_536))
        if not piece:
            raise _OverError
        remote.bytes_in_body += len(piece)
        if 0 < remote.closes_after_body_bytes < remote.bytes_in_body:
            raise _OverError
        if remote.body_bytes_per_second:
            await asyncio.sleep(len(piece) / remote.body_bytes_per_second)
        return piece

    async def say(self, name: str, default: str = "") -> str:
        entry = (
            self.remote.next_entry(name) if name in self.remote.replies or not default else default
        )
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
                await self.perform(entry.then)
            return entry.data.decode("latin-1")
        await self.perform(entry)
        return ""

    async def perform(self, action: ServerAction) -> None:
        if action is ServerAction.IGNORE:
            return
        if action is ServerAction.SILENCE:
            await asyncio.sleep(3600)
        if action is ServerAction.RESET:
            sock: socket.socket = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        raise _OverError

    async def write(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()
