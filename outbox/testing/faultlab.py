"""The fault lab: a mail server on loopback that misbehaves as a scenario says and writes all down.

    with FaultLab("at dot: late 2 451 4.3.0 try again") as lab:
        ...  # send to lab.host, lab.port
        lab.ledger.accepted

It runs in a thread of its own and never delays the caller; every lab takes a free port.
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
from typing import Self

from outbox.testing.action import Manner
from outbox.testing.certificates import Authority
from outbox.testing.channel import FAREWELL_WITHIN, HANDSHAKE_WITHIN
from outbox.testing.dialogue import Stage
from outbox.testing.lab_receiver import LabReceiver
from outbox.testing.ledger import Ledger
from outbox.testing.scenario import Occasion, Scenario, named, parse_scenario
from outbox.testing.serving import loop_in_thread

_FILLERS = 4  # connections of our own; a queue of none holds one
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultLab:
    """One port that plays one scenario at a time; a name is one of the catalogue."""

    def __init__(
        self, scenario: Scenario | str = "", *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.host, self.port = host, port
        self.ledger = Ledger()
        self.scenario = _as_scenario(scenario)
        self.tries: dict[str, int] = {}  # recipient → how often it was named
        self.hurries = False
        self._connections = 0
        self._door: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._receivers: set[LabReceiver] = set()
        self._authority: Authority | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="outbox-lab-"))
            self._folder = Path(folder)
            # Bound and never listening, it keeps the port ours while the door is shut.
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
        """Play a scenario from the next connection on; connections are counted anew."""
        found = _as_scenario(scenario)
        if found.tls_at_once or found.offers("STARTTLS"):
            context = self._signer().context(found.certificate)
            found = replace(found, offer=replace(found.offer, tls=context))
        self._run(partial(self._play, found))

    def hurry(self) -> None:
        """Say at once what is late, now and until the next scenario: a test waits for no clock."""
        self._run(self._hurry)

    @property
    def ca_file(self) -> str:
        """The file of the authority that signs the good certificates."""
        return str(self._signer().ca_file)

    def _signer(self) -> Authority:
        if self._authority is None:
            self._authority = Authority(self._folder)
        return self._authority

    def _run(self, act: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)

    # In the lab's thread

    async def _play(self, scenario: Scenario) -> None:
        self._shut()
        self.scenario, self.tries, self._connections = scenario, {}, 0
        self.hurries = False
        if self._ready_for_next():
            self._start(self._accept())

    async def _hurry(self) -> None:
        self.hurries = True
        for receiver in tuple(self._receivers):
            receiver.hurry()

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
        if self._door is not None:
            self._door.close()
            self._door = None

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connect_manner(self, connection: int) -> Manner | None:
        action = self.scenario.action_at(Occasion(stage=Stage.CONNECT, connection=connection))
        return action.manner if action else None

    def _ready_for_next(self) -> bool:
        """Set the door as the scenario has it for the next connection; tell whether to accept."""
        manner = self._connect_manner(self._connections + 1)
        if manner is Manner.REFUSE:
            if self._door is not None:
                self._door.close()
                self._door = None
            return False
        if self._door is None:
            self._door = _bound(self.host, self.port)
            self._door.settimeout(0)
        if manner is Manner.BLACK_HOLE:
            self._door.listen(0)
            self._fillers = [_knock(self._door) for _ in range(_FILLERS)]
            return False
        self._door.listen(128)
        return True

    async def _accept(self) -> None:
        more = True
        while more and self._door is not None:
            client, _ = await self._loop.sock_accept(self._door)
            self._connections += 1
            connection = self._connections
            more = self._ready_for_next()
            self._start(self._admit(client, connection))

    async def _admit(self, client: socket.socket, connection: int) -> None:
        manner = self._connect_manner(connection)
        if manner in {Manner.CLOSE, Manner.RESET}:
            session = self.ledger.open()
            self.ledger.note(session, "-", f"the server answers the connection by {manner}")
            if manner is Manner.RESET:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            client.close()
            self.ledger.end(session)
            return
        tls = self.scenario.offer.tls if self.scenario.tls_at_once else None
        with contextlib.suppress(OSError):  # the client's handshake is the client's matter
            await self._loop.connect_accepted_socket(
                partial(self._receiver, connection),
                client,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_WITHIN if tls else None,
                ssl_shutdown_timeout=FAREWELL_WITHIN if tls else None,
            )

    def _receiver(self, connection: int) -> LabReceiver:
        receiver = LabReceiver(self, connection)
        self._receivers.add(receiver)
        receiver.when_closed(partial(self._receivers.discard, receiver))
        return receiver


def _as_scenario(scenario: Scenario | str) -> Scenario:
    if isinstance(scenario, Scenario):
        return scenario
    return named(scenario) if re.fullmatch(r"[\w-]+", scenario) else parse_scenario(scenario)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named.
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind((host, port))
    return door


def _knock(door: socket.socket) -> socket.socket:
    """Begin a connection to a door and do not wait for it."""
    filler = socket.socket(door.family)
    filler.settimeout(0)
    filler.connect_ex(door.getsockname())
    return filler
