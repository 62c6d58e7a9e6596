"""The site and its stores as processes that can be killed and are started again.

PostgreSQL with its default durability, Redis without persistence, Celery workers and beat, gunicorn
and two sinks, each a process of its own. A process that ends is started again, as by a supervisor.
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
from tests.crash.log import log_kill, open_connections, wait_until_stopped

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable


@dataclass(slots=True)
class Supervised:
    """A process that is started again whenever it ends."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: Process | None = None

    def start(self) -> None:
        """Start the process with its output in its log."""
        with self.log.open("ab") as output:
            self.process = Process(
                self.command, environment=self.environment, output=output, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        """The id of the process that was started; it may have children."""
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """Return the running processes that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid).children(recursive=True)
            return [child.pid for child in found if is_running(child.pid)]
        return []

    def restart_if_ended(self) -> None:
        """Start the process again if it has ended."""
        if self.process is not None and self.process.returncode is not None:
            self.start()


class Cluster:
    """All processes, their environment, and the ways to kill them."""

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
        self.abandoned: list[int] = []  # process groups whose leader was killed alone
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

    def _part(self, name: str, words: list[str]) -> Supervised:
        return Supervised(name, [PYTHON, *words], self.environment, self.directory / f"{name}.log")

    def _sink(self, number: int) -> Supervised:
        files = [str(self.ledger(number)), str(self.directory / f"sink{number}.port")]
        more = ["--seed", str(number + 1)] + (["--chunking"] if number else [])
        return self._part(f"sink{number}", ["-m", "tests.crash.sink", *files, *more])

    def _worker(self, number: int) -> Supervised:
        options = ["--concurrency", "1", "--hostname", f"worker{number}@kills"]
        options += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
        module = ["-m", "tests.crash.worker", str(self.plan), str(self.log)]
        return self._part(f"worker{number}", [*module, *options])

    def ledger(self, number: int) -> Path:
        """Return the file in which a sink records the accepted messages."""
        return self.directory / f"ledger{number}.jsonl"

    def sink_port(self, number: int) -> int:
        """Return the port on which a sink listens."""
        return int((self.directory / f"sink{number}.port").read_text())

    # Start and end

    def start_stores(self) -> None:
        """Start what Django needs: the database, Redis and the sinks."""
        self.log.touch()
        self.postgres.start()
        self.redis.start()
        for sink in self.sinks:
            sink.start()
        ports = [self.directory / f"sink{number}.port" for number in (0, 1)]
        wait_until(lambda: all(port.exists() for port in ports), within=20, what="the sinks")

    def start_site(self) -> None:
        """Start the workers, beat and the web server."""
        for part in self._site():
            part.start()
        self._keeper.start()

    def _site(self) -> list[Supervised]:
        return [*self.workers, self.beat, self.web]

    def _keep(self) -> None:
        while not self._over.wait(0.05):
            with self._lock:
                for part in self._site():
                    part.restart_if_ended()

    def close(self) -> None:
        """End all processes and remove the database."""
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

    # Kills

    def kill_with_children(self, part: Supervised, kind: str) -> None:
        """Kill a process and its children, as a machine that goes down does."""
        with self._lock:
            self._log_kill(kind, [part.pid, *part.children()])
            assert part.process is not None
            part.process.kill()

    def kill_child(self, part: Supervised, kind: str) -> None:
        """Kill one child; its parent starts another."""
        children: list[int] = []  # read once: a child may have ended a moment later

        def has_any() -> bool:
            children[:] = part.children()
            return bool(children)

        wait_until(has_any, within=30, what=f"a child of {part.name}")
        victim = max(children)
        self._log_kill(kind, [victim])
        _send(victim, signal.SIGKILL)

    def kill_parent(self, part: Supervised, kind: str) -> None:
        """Kill a worker's first process and not its children."""
        with self._lock:
            children = part.children()
            self._log_kill(kind, [part.pid, *children])
            self.abandoned.append(part.pid)
            assert part.process is not None
            part.process.signal(signal.SIGKILL)
            for child in children:
                _send(child, signal.SIGCONT)

    def kill_stopping(self, part: Supervised, kind: str, after: float) -> bool:
        """Kill a worker that was asked to stop; return False if it had ended before."""
        process = part.process
        assert process is not None
        process.ask()
        time.sleep(after)  # the kill comes at a random moment of the shutdown
        if process.returncode is not None:
            return False
        self.kill_with_children(part, kind)
        return True

    def freeze(self, part: Supervised, kind: str, seconds: float) -> None:
        """Stop a process and its children with SIGSTOP; continue them after a while."""
        group = part.pid
        self._log_kill(kind, [group, *part.children()])
        time.sleep(seconds)  # the process is frozen for this time
        guard.send(group, signal.SIGCONT)

    def _log_kill(self, kind: str, pids: list[int]) -> None:
        """Stop the processes, count their connections and log the kill."""
        for pid in pids:
            _send(pid, signal.SIGSTOP)
            wait_until_stopped(pid)
        log_kill(self.log, kind=kind, pids=pids, connections=_connections(pids))

    def has_connection(self, worker: Supervised) -> bool:
        """Return whether a worker has a connection to a sink."""
        return _connections(worker.children()) > 0

    def log_for_all_workers(self, kind: str) -> None:
        """Log the kill of a process that all workers share."""
        pids = [pid for worker in self.workers for pid in worker.children()]
        log_kill(self.log, kind=kind, pids=[], connections=_connections(pids))

    def crash_postgres(self, kind: str, number: int, during_outage: Callable[[], None]) -> None:
        """End PostgreSQL by a signal to its postmaster, call `during_outage` and start it again."""
        process = self.postgres.process
        assert process is not None
        self.log_for_all_workers(kind)
        process.signal(number)
        wait_until(lambda: process.returncode is not None, within=20, what="PostgreSQL's end")
        process.kill()
        during_outage()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.postgres.start()
            except StartError:  # backends that still run have its shared memory
                if time.monotonic() > deadline:
                    raise
                self._kill_orphaned_backends()
                time.sleep(0.2)  # no event reports that the memory is free
            else:
                return

    def _kill_orphaned_backends(self) -> None:
        """Kill the backends of a killed postmaster, as a supervisor with a control group does."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(self.postgres.data):
                    process.kill()

    def crash_redis(self, kind: str) -> None:
        """Kill Redis and start it without its data."""
        self.log_for_all_workers(kind)
        self.redis.kill()
        self.redis.start()

    def empty_redis(self, kind: str) -> None:
        """Delete every key."""
        self.log_for_all_workers(kind)
        self.redis.clear()

    def orphans(self) -> list[int]:
        """Return the process groups that should have ended and did not."""
        return [group for group in self.abandoned if has_running_process(group)]


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended may wait to be reaped for seconds."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def has_running_process(group: int) -> bool:
    """Return whether a process of a group runs."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == group and is_running(pid):
                return True
    return False


def _connections(pids: list[int]) -> int:
    count = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            count += open_connections(pid)
    return count


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
