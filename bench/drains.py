"""How each contender is made to drain a queue, and what that cost."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from bench.world import ROOT, Contender, World, children_seconds

Prepare = Callable[[World, int, int], None]  # world, port, count


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: mails a second, and CPU seconds a mail of the contender and of the database."""

    rate: float
    cpu: float
    database_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    count: int
    connections: int
    delay_ms: float = 0
    chunking: bool = False


def outbox(world: World, port: int, case: Case) -> Figures:
    """Two engines, as two worker processes run them."""
    environment = world.environment("ours", "mailsite.settings")
    _queue(world, port, case, environment)
    return _drain(world, case, environment)


def outbox_beside_holes(world: World, port: int, case: Case) -> Figures:
    """The same while two servers with mail of their own take connections and say nothing."""
    environment = world.environment("ours", "mailsite.settings") | {"OUTBOX_GREETING_TIMEOUT": "5"}
    _queue(world, port, case, environment)
    with ExitStack() as holes:
        ports = [
            holes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for _ in range(2)
        ]
        Contender("outbox_holes", *ports, environment=environment).end()
        return _drain(world, case, environment)


def _queue(world: World, port: int, case: Case, environment: dict[str, str]) -> None:
    world.fresh("ours", "ours_empty")
    queue = Contender(
        "outbox_queue", port, case.connections, case.count, "many", environment=environment
    )
    queue.wait_ready()
    queue.go()
    queue.end()


def _drain(world: World, case: Case, environment: dict[str, str]) -> Figures:
    world.settle("ours")
    before = world.database_seconds()
    workers = [Contender("outbox_drain", environment=environment) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    cpu = children_seconds()
    began = time.time()
    for worker in workers:
        worker.go()
    for worker in workers:
        worker.go()  # done; it may leave
    for worker in workers:
        worker.end()
    with psycopg.connect(world.url("ours")) as connection:
        ended, sent = connection.execute(
            "SELECT extract(epoch FROM max(ended_at))::float, count(*) FROM outbox_attempt "
            "WHERE outcome = 'sent'"
        ).fetchone() or (0, 0)
    _all_sent(case, sent)
    return Figures(
        case.count / (ended - began),
        (children_seconds() - cpu - sum(worker.start_seconds for worker in workers)) / case.count,
        (settled_seconds(world) - before) / case.count,
    )


def post_office(world: World, port: int, case: Case) -> Figures:
    """django-post_office: one command, two processes of its own."""
    environment = world.environment("theirs", "bench.contenders.post_office_settings")
    world.fresh("theirs", "theirs_empty")
    words = ("post_office", port, case.count)
    queue = Contender(*words, "many", case.connections, environment=environment)
    queue.wait_ready()
    queue.go()
    queue.end()
    world.settle("theirs")
    before = world.database_seconds()
    drain = Contender(*words, "drain", case.connections, environment=environment)
    drain.wait_ready()
    cpu = children_seconds()
    drain.go()
    seconds = json.loads(drain.end())["seconds"]
    with psycopg.connect(world.url("theirs")) as connection:
        query = "SELECT count(*) FROM post_office_email WHERE status = 0"
        _all_sent(case, (connection.execute(query).fetchone() or (0,))[0])
    return Figures(
        case.count / seconds,
        (children_seconds() - cpu - drain.start_seconds) / case.count,
        (settled_seconds(world) - before) / case.count,
    )


def task_per_mail(world: World, port: int, case: Case) -> Figures:
    """A Celery task a mail, two prefork processes."""
    environment = world.environment("tasks", "bench.contenders.task_per_mail_settings")
    environment["BENCH_SMTP_PORT"] = str(port)
    count = case.count // 8  # it is that much slower; the rate is what counts
    world.fresh("tasks", "tasks_empty")
    publish = Contender("task_per_mail", port, count, "publish", environment=environment)
    publish.wait_ready()
    publish.go()
    publish.end()
    before, cpu = world.database_seconds(), children_seconds()
    app = ["--app", "bench.contenders.task_per_mail"]
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "celery",
            *app,
            "worker",
            "--concurrency",
            "2",
            "--loglevel",
            "ERROR",
        ],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with psycopg.connect(world.url("tasks"), autocommit=True) as connection:
        query = (
            "SELECT count(*) FILTER (WHERE status = 'sent'), min(sent_at), max(sent_at) FROM mail"
        )
        deadline = time.monotonic() + 600
        sent = 0
        while sent < count and time.monotonic() < deadline:
            time.sleep(0.5)
            sent, first, last = connection.execute(query).fetchone() or (0, None, None)
    worker.terminate()
    worker.wait()
    _all_sent(case, sent * 8 if sent == count else 0)
    return Figures(
        count / (last - first).total_seconds(),
        (children_seconds() - cpu) / count,
        (settled_seconds(world) - before) / count,
    )


def smtplib_loop(world: World, port: int, case: Case) -> Figures:
    """The bound: one kept connection, nothing written anywhere."""
    count = case.count if case.delay_ms == 0 else 200
    loop = Contender(
        "smtplib_loop", port, count, environment=world.environment("none", "mailsite.settings")
    )
    loop.wait_ready()
    cpu = children_seconds()
    loop.go()
    seconds = json.loads(loop.end())["seconds"]
    return Figures(count / seconds, (children_seconds() - cpu - loop.start_seconds) / count, 0)


def settled_seconds(world: World) -> float:
    """CPU seconds of the database; a process of it counts once it has ended, after its client."""
    time.sleep(0.3)
    return world.database_seconds()


def _all_sent(case: Case, sent: int) -> None:
    if sent < case.count:
        raise RuntimeError(f"{case.name}: only {sent} of {case.count} were sent")
