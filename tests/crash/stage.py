"""The whole site on a stage where everything may be killed, and somebody starts it again.

PostgreSQL with its default durability, a Redis that keeps nothing, Celery workers and beat,
gunicorn and two receivers, each a process of its own. What ends is started again, as a supervisor
would.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from cryptography.fernet import Fernet

from dev import guard
from dev.postgres_server import DURABLE, PostgresServer
from dev.processes import Process, StartError, wait_until
from dev.redis_server import RedisServer
from dev.sockets import free_port
from tests.crash.log import note_kill, open_connections

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable


@dataclass(slots=True)
class Kept:
    """A part that is started again whenever it ends."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: Process | None = None

    def start(self) -> None:
        """Start it, its output going to its log."""
        with self.log.open("ab") as output:
            self.process = Process(
                self.command, environment=self.environment, output=output, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        """The process that was started; it may have children."""
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """Name the processes it started that still run."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid).children(recursive=True)
            return [child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE]
        return []

    def care(self) -> None:
        """Start it again when it has ended."""
        if self.process is not None and self.process.returncode is not None:
            self.start()


class Stage:
    """All parts, their environment, and the ways in which they die."""

    def __init__(self, directory: Path, *, workers: int, settings: dict[str, str]) -> None:
        self.directory = directory
        self.log = directory / "kills.jsonl"
        self.plan = directory / "plan"
        self.web_plan = directory / "plan-web"
        for folder in (self.plan, self.web_plan):
            folder.mkdir()
        self.postgres = PostgresServer(options=DURABLE)
        self.redis = RedisServer(directory / "redis", append_only=False)
        self.port = free_port()
        self.environment = os.environ | self._environment() | settings
        self.sinks = [self._sink(number) for number in (0, 1)]
        self.workers = [self._worker(number) for number in range(workers)]
        beat = ["-m", "celery", "--app", "mailsite", "beat", "--loglevel", "WARNING"]
        self.beat = self._part("beat", beat)
        web = ["-m", "gunicorn", "tests.crash.web:application"]
        self.web = self._part("web", [*web, "--config", "python:mailsite.gunicorn"])
        self.abandoned: list[int] = []  # groups whose first process was killed alone
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._lock = threading.Lock()

    def _environment(self) -> dict[str, str]:
        return {
            "ENV_FILE": "",
            "DEBUG": "off",
            "HTTPS": "off",
            "SECRET_KEY": Fernet.generate_key().decode() * 2,
            "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
            "OUTBOX_ALLOW_PRIVATE_HOSTS": "on",
            "DJANGO_SETTINGS_MODULE": "mailsite.settings",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "MEDIA_ROOT": str(self.directory / "media"),
            "STATIC_ROOT": str(self.directory / "static"),
            "PORT": str(self.port),
            "WEB_HOST": "127.0.0.1",
            "WEB_CONCURRENCY": "2",
            "KILLS_WEB_PLAN": str(self.web_plan),
            "KILLS_LOG": str(self.log),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        }

    def _part(self, name: str, words: list[str]) -> Kept:
        return Kept(name, [PYTHON, *words], self.environment, self.directory / f"{name}.log")

    def _sink(self, number: int) -> Kept:
        files = [str(self.ledger(number)), str(self.directory / f"sink{number}.port")]
        more = ["--seed", str(number + 1)] + (["--chunking"] if number else [])
        return self._part(f"sink{number}", ["-m", "tests.crash.sink", *files, *more])

    def _worker(self, number: int) -> Kept:
        options = ["--concurrency", "1", "--hostname", f"worker{number}@kills"]
        options += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        module = ["-m", "tests.crash.worker", str(self.plan), str(self.log)]
        return self._part(f"worker{number}", [*module, *options])

    def ledger(self, number: int) -> Path:
        """Name the file in which a sink notes what it took."""
        return self.directory / f"ledger{number}.jsonl"

    def sink_port(self, number: int) -> int:
        """Return the port a sink listens on."""
        return int((self.directory / f"sink{number}.port").read_text())

    # Start and end

    def start_stores(self) -> None:
        """Start what has to stand before Django can be used."""
        self.log.touch()
        self.postgres.start()
        self.redis.start()
        for sink in self.sinks:
            sink.start()
        ports = [self.directory / f"sink{number}.port" for number in (0, 1)]
        wait_until(lambda: all(port.exists() for port in ports), within=20, what="the sinks")

    def start_site(self) -> None:
        """Start what delivers and serves."""
        for part in self._site():
            part.start()
        self._keeper.start()

    def _site(self) -> list[Kept]:
        return [*self.workers, self.beat, self.web]

    def _keep(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                for part in self._site():
                    part.care()

    def close(self) -> None:
        """End everything and remove the database."""
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for part in [*self._site(), *self.sinks]:
            if part.process is not None:
                part.process.kill()
        for group in self.abandoned:
            guard.send(group, signal.SIGKILL)
        self.redis.close()
        self.postgres.kill()
        self.postgres.close()

    # Ways to die

    def kill_group(self, part: Kept, kind: str) -> None:
        """Kill a part and its children, as a machine that goes down would."""
        with self._lock:
            self._note(kind, [part.pid, *part.children()])
            assert part.process is not None
            part.process.kill()

    def kill_child(self, part: Kept, kind: str) -> None:
        """Kill one child; its parent makes another."""
        children: list[int] = []  # asked for once: what is there may be dead a moment later

        def has_any() -> bool:
            children[:] = part.children()
            return bool(children)

        wait_until(has_any, within=30, what=f"a child of {part.name}")
        victim = max(children)
        self._note(kind, [victim])
        _send(victim, signal.SIGKILL)

    def kill_parent(self, part: Kept, kind: str) -> None:
        """Kill a worker's first process and leave its child alone in the world."""
        with self._lock:
            children = part.children()
            self._note(kind, [part.pid, *children])
            self.abandoned.append(part.pid)
            assert part.process is not None
            part.process.signal(signal.SIGKILL)
            for child in children:
                _send(child, signal.SIGCONT)

    def kill_stopping(self, part: Kept, kind: str, after: float) -> bool:
        """Kill a worker that was asked to stop; False when it was quicker."""
        process = part.process
        assert process is not None
        process.ask()
        time.sleep(after)
        if process.returncode is not None:
            return False
        self.kill_group(part, kind)
        return True

    def freeze(self, part: Kept, kind: str, seconds: float) -> None:
        """Stop a part and its children where they are, and let them go on after a while."""
        group = part.pid
        self._note(kind, [group, *part.children()])
        time.sleep(seconds)
        guard.send(group, signal.SIGCONT)

    def _note(self, kind: str, pids: list[int]) -> None:
        """Hold the processes, count their connections, write the kill down."""
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        note_kill(self.log, kind=kind, pids=pids, connections=_connections(pids))

    def talks(self, worker: Kept) -> bool:
        """Tell whether a worker has a connection to a receiver."""
        return _connections(worker.children()) > 0

    def note_for_all(self, kind: str) -> None:
        """Write down the death of something that all workers share."""
        pids = [pid for worker in self.workers for pid in worker.children()]
        note_kill(self.log, kind=kind, pids=[], connections=_connections(pids))

    def crash_postgres(self, kind: str, number: int, meanwhile: Callable[[], None]) -> None:
        """End PostgreSQL by a signal to its first process; start it again after `meanwhile`."""
        process = self.postgres.process
        assert process is not None
        self.note_for_all(kind)
        process.signal(number)
        wait_until(lambda: process.returncode is not None, within=20, what="PostgreSQL's end")
        process.kill()
        meanwhile()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.postgres.start()
            except StartError:  # its orphans still hold its shared memory
                if time.monotonic() > deadline:
                    raise
                self._end_orphans_of_postgres()
                time.sleep(0.2)
            else:
                return

    def _end_orphans_of_postgres(self) -> None:
        """Kill what a dead server left behind, as a supervisor does with a control group."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.postgres.data):
                    process.kill()

    def crash_redis(self, kind: str) -> None:
        """Kill Redis, which comes back empty."""
        self.note_for_all(kind)
        self.redis.kill()
        self.redis.start()

    def empty_redis(self, kind: str) -> None:
        """Take every key away."""
        self.note_for_all(kind)
        self.redis.clear()

    def orphans(self) -> list[int]:
        """Name the groups that should have ended by themselves and did not."""
        return [group for group in self.abandoned if guard.send(group, 0)]


def _connections(pids: list[int]) -> int:
    count = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            count += open_connections(pid)
    return count


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
