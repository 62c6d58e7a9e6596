"""The fault lab: a mail server on loopback that misbehaves as a scenario says and records it all.

    with FaultLab("at dot: late 2 451 4.3.0 try again") as lab:
        ...  # send to lab.host, lab.port
        lab.ledger.accepted

It runs in a thread of its own and never delays the caller. Every lab uses a free port.
"""

import asyncio
import contextlib
import re
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from outbox.testing.action import Misbehavior
from outbox.testing.certificates import Authority
from outbox.testing.channel import HANDSHAKE_WITHIN, TLS_SHUTDOWN_WITHIN
from outbox.testing.dialogue import SMTP, Stage
from outbox.testing.lab_connection import LabConnection
from outbox.testing.lab_receiver import LabReceiver
from outbox.testing.language import Language
from outbox.testing.ledger import Ledger
from outbox.testing.scenario import Occasion, Scenario, named, parse_scenario
from outbox.testing.serving import loop_in_thread

_FILLERS = 4  # our own connections; a backlog of 0 still accepts one
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultLab:
    """One port with one scenario at a time, given as text, as an object or by its catalog name."""

    language: ClassVar[Language] = SMTP

    def __init__(
        self, scenario: Scenario | str = "", *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.host, self.port = host, port
        self.ledger = Ledger()
        self.scenario = self._as_scenario(scenario)
        self.rcpt_counts: dict[str, int] = {}  # recipient → number of RCPT commands
        self.skips_delays = False
        self._connections = 0
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._receivers: set[LabConnection] = set()
        self._authority: Authority | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="outbox-lab-"))
            self._folder = Path(folder)
            # Bound and never listening, it reserves the port while the listener is closed.
            reserved = stack.enter_context(_bound(self.host, self.port))
            self.port = reserved.getsockname()[1]
            self._loop = stack.enter_context(loop_in_thread())
            stack.callback(self._run, self._stop)
            self.play(self.scenario)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def play(self, scenario: Scenario | str) -> None:
        """Use a scenario from the next connection on; connections are counted from 1 again."""
        found = self._as_scenario(scenario)
        if found.tls_at_once or found.offers(self.language.starts_tls):
            context = self._get_authority().context(found.certificate)
            found = replace(found, capabilities=replace(found.capabilities, tls=context))
        self._run(partial(self._play, found))

    def skip_delays(self) -> None:
        """Send delayed replies at once, now and until the next scenario, so that no test waits."""
        self._run(self._skip_delays)

    @property
    def ca_file(self) -> str:
        """The file of the authority that signs the valid certificates."""
        return str(self._get_authority().ca_file)

    def _get_authority(self) -> Authority:
        if self._authority is None:
            self._authority = Authority(self._folder)
        return self._authority

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)

    # In the lab's thread

    async def _play(self, scenario: Scenario) -> None:
        self._shut()
        self.scenario, self.rcpt_counts, self._connections = scenario, {}, 0
        self.skips_delays = False
        if self._ready_for_next():
            self._start(self._accept())

    async def _skip_delays(self) -> None:
        self.skips_delays = True
        for receiver in tuple(self._receivers):
            receiver.skip_delay()

    async def _stop(self) -> None:
        self._shut()
        for receiver in tuple(self._receivers):
            receiver.abort()

    def _shut(self) -> None:
        for task in self._tasks:
            task.cancel()
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _connect_misbehavior(self, connection: int) -> Misbehavior | None:
        action = self.scenario.action_at(Occasion(stage=Stage.CONNECT, connection=connection))
        return action.kind if action else None

    def _ready_for_next(self) -> bool:
        """Open or close the listener for the next connection; return whether to accept it."""
        misbehavior = self._connect_misbehavior(self._connections + 1)
        if misbehavior is Misbehavior.REFUSE:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            return False
        if self._listener is None:
            self._listener = _bound(self.host, self.port)
            self._listener.settimeout(0)
        if misbehavior is Misbehavior.BLACK_HOLE:
            self._listener.listen(0)
            self._fillers = [_begin_connection(self._listener) for _ in range(_FILLERS)]
            return False
        self._listener.listen(128)
        return True

    async def _accept(self) -> None:
        more = True
        while more and self._listener is not None:
            await self._is_readable(self._listener)
            try:
                client, _ = self._listener.accept()
            except OSError:  # the client has left
                continue
            client.settimeout(0)
            self._connections += 1
            connection = self._connections
            more = self._ready_for_next()
            admission = self._start(self._admit(client, connection))
            admission.add_done_callback(partial(_close_if_cancelled, client))

    async def _is_readable(self, listener: socket.socket) -> None:
        """Wait for a connection.

        `sock_accept` would lose one, and leave it open, if its task was cancelled after the accept
        and before it continued.
        """
        readable = self._loop.create_future()
        self._loop.add_reader(listener, _complete, readable)
        try:
            await readable
        finally:
            if listener.fileno() >= 0:
                self._loop.remove_reader(listener)

    async def _admit(self, client: socket.socket, connection: int) -> None:
        misbehavior = self._connect_misbehavior(connection)
        if misbehavior in {Misbehavior.CLOSE, Misbehavior.RESET}:
            session = self.ledger.open()
            self.ledger.note(session, "-", f"the server meets the connection with {misbehavior}")
            if misbehavior is Misbehavior.RESET:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            client.close()
            self.ledger.end(session)
            return
        tls = self.scenario.capabilities.tls if self.scenario.tls_at_once else None
        with contextlib.suppress(OSError):  # a handshake that fails is recorded by the client
            await self._loop.connect_accepted_socket(
                partial(self._receiver, connection),
                client,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_WITHIN if tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_WITHIN if tls else None,
            )

    def _as_scenario(self, scenario: Scenario | str) -> Scenario:
        if isinstance(scenario, Scenario):
            return scenario
        if re.fullmatch(r"[\w-]+", scenario):
            return named(scenario, self.language)
        return parse_scenario(scenario, language=self.language)

    def _new_receiver(self, connection: int) -> LabConnection:
        return LabReceiver(self, connection)

    def _receiver(self, connection: int) -> LabConnection:
        receiver = self._new_receiver(connection)
        self._receivers.add(receiver)
        receiver.when_closed(partial(self._receivers.discard, receiver))
        return receiver


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close_if_cancelled(client: socket.socket, admission: asyncio.Task[None]) -> None:
    """Close a connection whose task ended before it began."""
    if admission.cancelled():
        client.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _begin_connection(listener: socket.socket) -> socket.socket:
    """Begin a connection to a listener without waiting for it."""
    filler = socket.socket(listener.family)
    filler.settimeout(0)
    filler.connect_ex(listener.getsockname())
    return filler
