"""The servers of every run, each in a separate process: a database, Redis and a fast receiver.

The database is PostgreSQL with its default durability, or a SQLite file in WAL mode.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet

from dev.postgres_server import DURABLE, PostgresServer
from dev.processes import Process, wait_until
from dev.redis_server import RedisServer
from dev.sockets import free_port, is_free

ROOT = Path(__file__).resolve().parent.parent
COMPETITORS = ROOT / ".cache" / "competitors"  # where `make bench` installs them
OURS, THEIRS = "mailsite.settings", "bench.contenders.post_office_settings"
TASKS = "bench.contenders.task_per_message_settings"


@dataclass(frozen=True, slots=True)
class Sink:
    """A receiver that accepts everything and waits `delay_ms` before each group of replies."""

    port: int


@dataclass(slots=True)
class World:
    """The servers, and the environment that names them. Without PostgreSQL, SQLite is used."""

    postgres: PostgresServer | None
    redis: RedisServer
    scratch: Path
    key: str

    @property
    def server(self) -> PostgresServer:
        """The PostgreSQL server."""
        assert self.postgres is not None
        return self.postgres

    def environment(self, database: str, settings: str) -> dict[str, str]:
        """Return the environment of a contender's process."""
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": self.url(database),
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": "for a benchmark only, and long enough for Django's own check",
            "OUTBOX_SECRET_KEYS": self.key,
            "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",
            "ENV_FILE": "",
            "DEBUG": "off",
            "HTTPS": "off",
            "MEDIA_ROOT": str(self.scratch / "media"),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{COMPETITORS}",
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def url(self, database: str) -> str:
        """Return the URL of one database."""
        if self.postgres is None:
            return f"sqlite:///{self.scratch / database}.sqlite3"
        return self.postgres.url.replace("/postgres?", f"/{database}?")

    def fresh(self, database: str, template: str = "template1") -> None:
        """Create a database again, from a template."""
        if self.postgres is None:
            for old in self.scratch.glob(f"{database}.sqlite3*"):
                old.unlink()
            if template != "template1":
                for end in ("", "-wal"):
                    file = self.scratch / f"{template}.sqlite3{end}"
                    if file.exists():
                        shutil.copy(file, self.scratch / f"{database}.sqlite3{end}")
            return
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')

    def vacuum(self, database: str) -> None:
        """Vacuum and analyze, as autovacuum would have, and write dirty pages."""
        if self.postgres is not None:
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
                connection.execute("CHECKPOINT")

    def row(self, database: str, query: str) -> tuple[Any, ...]:
        """Return the first row of a query."""
        if self.postgres is None:
            with closing(sqlite3.connect(self.scratch / f"{database}.sqlite3")) as connection:
                return tuple(connection.execute(query).fetchone())
        with psycopg.connect(self.url(database)) as server:
            return server.execute(query).fetchone() or ()

    def database_seconds(self) -> float:
        """Return the CPU seconds of the server and of its processes that have ended."""
        if self.postgres is None or self.postgres.process is None:
            return 0.0
        return sum(seconds_of(self.postgres.process.pid))

    def prepare(self) -> None:
        """Make the empty databases once; every run begins from a copy."""
        rivals: list[tuple[str, str, str, tuple[object, ...]]] = [
            ("ours_empty", OURS, "outbox_queue", (1, 1, 0, "migrate")),
            ("theirs_empty", THEIRS, "post_office", (1, 0, "migrate", 1)),
        ]
        if self.postgres is not None:
            rivals.append(("tasks_empty", TASKS, "task_per_message", (1, 0, "migrate")))
        for database, settings, module, words in rivals:
            self.fresh(database)
            Contender(module, *words, environment=self.environment(database, settings)).end()


@contextmanager
def world(
    options: Mapping[str, str] = DURABLE, *, is_postgresql: bool = True, is_prepared: bool = True
) -> Iterator[World]:
    """Start the servers; stop them and remove their data at the end."""
    with tempfile.TemporaryDirectory(prefix="outbox-bench-") as folder:
        scratch = Path(folder)
        postgres = PostgresServer(options=dict(options)) if is_postgresql else None
        redis = RedisServer(scratch / "redis", append_only=False)
        try:
            if postgres is not None:
                postgres.start()
            redis.start()
            servers = World(postgres, redis, scratch, Fernet.generate_key().decode())
            if is_prepared:
                servers.prepare()
            yield servers
        finally:
            redis.close()
            if postgres is not None:
                postgres.close()


@contextmanager
def sink(scratch: Path, *, delay_ms: float = 0, chunking: bool = False) -> Iterator[Sink]:
    """Run a receiver: without a delay Postfix's smtp-sink, where it is installed."""
    program = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is not None and not delay_ms and not chunking:
        with _smtp_sink(program) as port:
            yield Sink(port)
        return
    ready = scratch / f"sink-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "outbox.testing.sink", "--ready-file", str(ready)]
    command += ["--delay-ms", str(delay_ms), *(["--chunking"] if chunking else [])]
    process = Process(command, output=subprocess.DEVNULL, cwd=ROOT)
    try:
        wait_until(ready.exists, within=20, what="the receiver", process=process)
        yield Sink(int(ready.read_text()))
    finally:
        process.stop()


@contextmanager
def _smtp_sink(program: str) -> Iterator[int]:
    """Run Postfix's smtp-sink; it is written in C, and takes less of the processor."""
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = Process([program, *user, f"127.0.0.1:{port}", "256"], output=subprocess.DEVNULL)
    try:
        wait_until(lambda: not is_free(port), within=20, what="smtp-sink", process=process)
        yield port
    finally:
        process.stop()


class Contender:
    """A process that prints "ready", waits for a line, works, and prints its figures as JSON."""

    def __init__(self, module: str, *words: object, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", f"bench.contenders.{module}", *map(str, words)]
        self.start_seconds = 0.0  # CPU of the startup, which is not measured
        self.popen = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until everything is imported and the process waits for the signal."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line.strip() == "ready":
                self.start_seconds = seconds_of(self.popen.pid)[0]
                return
        raise RuntimeError(f"{self.popen.args!r} ended before it was ready")

    def go(self) -> None:
        """Send the signal to start."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def end(self) -> str:
        """Wait for the end; return the last line it printed. Its input is closed."""
        output, _ = self.popen.communicate(timeout=900)
        if self.popen.returncode:
            raise RuntimeError(f"{self.popen.args!r} failed")
        lines = output.strip().splitlines()
        return lines[-1] if lines else ""

    def run(self) -> str:
        """Do all of it; return the last line."""
        self.wait_ready()
        self.go()
        return self.end()


def seconds_of(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + system) / tick, (child_user + child_system) / tick


def children_seconds() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
