"""The outbox and its competitors: how each one queues and drains, and what that costs."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.world import OURS, ROOT, TASKS, THEIRS, Contender, World, children_seconds

_ENDED = {  # the time of the last outcome, in seconds, and how many were sent
    True: "SELECT extract(epoch FROM max(ended_at))::float, count(*)",
    False: "SELECT (julianday(max(ended_at)) - 2440587.5) * 86400, count(*)",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Messages per second of one run, and CPU seconds per message."""

    rate: float
    cpu: float
    database_cpu: float


@dataclass(frozen=True, slots=True)
class Case:
    """The messages of a run, and what limits it."""

    count: int
    connections: int = 50
    delay_ms: float = 0
    chunking: bool = False


class Rival:
    """A package that queues in a database and drains it."""

    name = ""
    database = ""
    settings = ""

    def __init__(self, world: World, port: int = 1, connections: int = 10) -> None:
        self.world, self.port, self.connections = world, port, connections
        self.environment = world.environment(self.database, self.settings)

    def fresh(self) -> None:
        """Start with an empty queue."""
        self.world.fresh(self.database, f"{self.database}_empty")

    def queueing(self, way: str, count: int) -> Contender:
        """Return the process that queues: `one` or `many` per call, or another way."""
        raise NotImplementedError

    def draining(self) -> list[Contender]:
        """Return the processes that drain."""
        raise NotImplementedError

    def sent(self, began: float, outputs: Sequence[str]) -> tuple[float, int]:
        """Return the seconds that it took to drain, and how many messages were sent."""
        raise NotImplementedError

    def measure_queueing(self, way: str, count: int) -> Figures:
        """Queue so many messages."""
        self.fresh()
        outputs, _, figures = _measured(self.world, [self.queueing(way, count)], count)
        return Figures(count / json.loads(outputs[0])["seconds"], *figures)

    def measure_draining(self, case: Case) -> Figures:
        """Queue the messages of a case, and drain them."""
        self.fresh()
        self.queueing("many", case.count).run()
        self.world.vacuum(self.database)
        outputs, began, figures = _measured(self.world, self.draining(), case.count)
        seconds, sent = self.sent(began, outputs)
        if sent < case.count:
            raise RuntimeError(f"{self.name}: only {sent} of {case.count} were sent")
        return Figures(case.count / seconds, *figures)


class Outbox(Rival):
    """Two engines, as two worker processes run them."""

    name, database, settings = "outbox", "ours", OURS

    def __init__(self, world: World, port: int = 1, connections: int = 10) -> None:
        super().__init__(world, port, connections)
        self.environment["OUTBOX_MAX_CONNECTIONS_PER_ACCOUNT"] = "500"  # the account's own counts

    def queueing(self, way: str, count: int) -> Contender:
        words = (self.port, self.connections, count, way)
        return Contender("outbox_queue", *words, environment=self.environment)

    def draining(self) -> list[Contender]:
        return [Contender("outbox_drain", environment=self.environment) for _ in range(2)]

    def sent(self, began: float, outputs: Sequence[str]) -> tuple[float, int]:
        query = _ENDED[self.world.postgres is not None]
        where = "FROM outbox_attempt WHERE outcome = 'sent'"
        ended, sent = self.world.row(self.database, f"{query} {where}")
        return (ended or 0) - began, sent


class OutboxBesideHoles(Outbox):
    """The same while two servers with queued messages accept connections and never reply."""

    name = "outbox beside two black holes"

    def measure_draining(self, case: Case) -> Figures:
        self.environment["OUTBOX_GREETING_TIMEOUT"] = "5"
        with ExitStack() as self._holes:
            return super().measure_draining(case)

    def draining(self) -> list[Contender]:
        holes = [
            self._holes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)
        ]
        ports = [hole.getsockname()[1] for hole in holes]
        Contender("outbox_holes", *ports, environment=self.environment).end()
        return super().draining()


class PostOffice(Rival):
    """django-post_office: one command, two processes of its own."""

    name, database, settings = "post_office", "theirs", THEIRS

    def queueing(self, way: str, count: int) -> Contender:
        words = (self.port, count, way, self.connections)
        return Contender("post_office", *words, environment=self.environment)

    def draining(self) -> list[Contender]:
        return [self.queueing("drain", 0)]

    def sent(self, began: float, outputs: Sequence[str]) -> tuple[float, int]:
        query = "SELECT count(*) FROM post_office_email WHERE status = 0"
        return json.loads(outputs[0])["seconds"], self.world.row(self.database, query)[0]


class TaskPerMessage(Rival):
    """One Celery task per message, two prefork processes. It is slow, and gets fewer messages."""

    name, database, settings = "task per message", "tasks", TASKS

    def measure_draining(self, case: Case) -> Figures:
        count = case.count // 8
        self.fresh()
        self.environment["BENCH_SMTP_PORT"] = str(self.port)
        publish = Contender(
            "task_per_message", self.port, count, "publish", environment=self.environment
        )
        publish.run()
        before, cpu = self.world.database_seconds(), children_seconds()
        command = "-m celery --app bench.contenders.task_per_message worker --concurrency 2"
        worker = subprocess.Popen(
            [sys.executable, *command.split(), "--loglevel", "ERROR"],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        query = (
            "SELECT count(*) FILTER (WHERE status = 'sent'), "
            "extract(epoch FROM max(sent_at) - min(sent_at))::float FROM mail"
        )
        deadline = time.monotonic() + 600
        sent, seconds = 0, 0.0
        while sent < count and time.monotonic() < deadline:
            time.sleep(0.5)
            sent, seconds = self.world.row(self.database, query)
        worker.terminate()
        worker.wait()
        cpu = children_seconds() - cpu
        database_cpu = _final_database_seconds(self.world) - before
        return Figures(count / seconds, cpu / count, database_cpu / count)


class SmtplibLoop(Rival):
    """The upper bound: one open connection, and nothing is stored."""

    name, database, settings = "smtplib", "none", OURS

    def measure_draining(self, case: Case) -> Figures:
        loop = Contender("smtplib_loop", self.port, case.count, environment=self.environment)
        outputs, _, figures = _measured(self.world, [loop], case.count)
        return Figures(case.count / json.loads(outputs[0])["seconds"], *figures)


def _measured(
    world: World, contenders: Sequence[Contender], count: int
) -> tuple[list[str], float, tuple[float, float]]:
    """Run processes; return what they print, when they began, and CPU seconds per message."""
    for one in contenders:
        one.wait_ready()
    before, cpu, began = world.database_seconds(), children_seconds(), time.time()
    for one in contenders:
        one.go()
    outputs = [one.end() for one in contenders]
    cpu = children_seconds() - cpu - sum(one.start_seconds for one in contenders)
    database_cpu = _final_database_seconds(world) - before
    return outputs, began, (cpu / count, database_cpu / count)


def _final_database_seconds(world: World) -> float:
    """Return the CPU seconds of the database after its processes have ended.

    A server process counts only once it has ended, shortly after its client.
    """
    time.sleep(0.3)
    return world.database_seconds()
