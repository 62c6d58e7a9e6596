"""What every contender is measured against: one PostgreSQL with its default durability, one Redis,
one fast receiver, each in a process of its own."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet

from dev.postgres_server import DURABLE, PostgresServer
from dev.processes import Process, wait_until
from dev.redis_server import RedisServer

ROOT = Path(__file__).resolve().parent.parent
NEIGHBOURS = ROOT / ".cache" / "neighbours"  # where `make bench` installs them


@dataclass(frozen=True, slots=True)
class Sink:
    """A receiver that takes everything; `delay_ms` is waited before each group of replies."""

    port: int


@dataclass(slots=True)
class World:
    """The servers, and the environment that names them."""

    postgres: PostgresServer
    redis: RedisServer
    scratch: Path
    key: str

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
            "PYTHONPATH": f"{ROOT}{os.pathsep}{NEIGHBOURS}",
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def url(self, database: str) -> str:
        """Return the URL of one database of the server."""
        return self.postgres.url.replace("/postgres?", f"/{database}?")

    def fresh(self, database: str, template: str = "template1") -> None:
        """Make a database anew, from a template."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')

    def settle(self, database: str) -> None:
        """Vacuum and analyse, as autovacuum would have; write what is dirty."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def database_seconds(self) -> float:
        """CPU seconds of the server's processes that have ended, and of the first one."""
        assert self.postgres.process is not None
        return sum(_seconds_of(self.postgres.process.pid))


@contextmanager
def world(options: Mapping[str, str] = DURABLE) -> Iterator[World]:
    """Start the servers; stop them and remove their data at the end."""
    with tempfile.TemporaryDirectory(prefix="outbox-bench-") as folder:
        scratch = Path(folder)
        postgres = PostgresServer(options=dict(options))
        redis = RedisServer(scratch / "redis", append_only=False)
        try:
            postgres.start()
            redis.start()
            yield World(postgres, redis, scratch, Fernet.generate_key().decode())
        finally:
            redis.close()
            postgres.close()


@contextmanager
def sink(scratch: Path, *, delay_ms: float = 0, chunking: bool = False) -> Iterator[Sink]:
    """Run a receiver."""
    ready = scratch / f"sink-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "outbox.testing.sink", "--ready-file", str(ready)]
    command += ["--delay-ms", str(delay_ms), *(["--chunking"] if chunking else [])]
    process = Process(command, output=subprocess.DEVNULL, cwd=ROOT)
    try:
        wait_until(ready.exists, within=20, what="the receiver", process=process)
        yield Sink(int(ready.read_text()))
    finally:
        process.stop()


class Contender:
    """A process that prints "ready", waits for a line, works, and prints its figures as JSON."""

    def __init__(self, module: str, *words: object, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", f"bench.contenders.{module}", *map(str, words)]
        self.start_seconds = 0.0  # CPU it took to get ready, which is no work
        self.popen = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Return when everything is imported and only the signal is missing."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line.strip() == "ready":
                self.start_seconds = _seconds_of(self.popen.pid)[0]
                return
        raise RuntimeError(f"{self.popen.args!r} ended before it was ready")

    def go(self) -> None:
        """Give the signal."""
        assert self.popen.stdin is not None
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def end(self) -> str:
        """Wait for the end; return the last line it printed."""
        output, _ = self.popen.communicate(timeout=900)
        if self.popen.returncode:
            raise RuntimeError(f"{self.popen.args!r} failed")
        lines = output.strip().splitlines()
        return lines[-1] if lines else ""


def _seconds_of(pid: int) -> tuple[float, float]:
    """CPU seconds of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + system) / tick, (child_user + child_system) / tick


def children_seconds() -> float:
    """CPU seconds of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
