"""What both servers need: a directory of an unprivileged user, a certificate, and a process."""

import grp
import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.postgres_server import unprivileged_user
from dev.processes import Process, StartError, wait_until
from dev.sockets import free_port
from outbox.testing.certificates import Authority, Certificate

USER = "anna"
PASSWORD = "s3cret-pass"
_SYSTEM = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


def program(name: str) -> str | None:
    """Return the path of a server's program; None if it is not installed."""
    return shutil.which(name, path=_SYSTEM)


class MailboxServer:
    """One server with one mailbox, whose directory `close` removes."""

    name: str
    protocols: tuple[str, ...]
    group = ""  # that the program needs; "" for the user's own

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-mail-"))
        self.user = unprivileged_user()
        authority = Authority(self.directory)
        authority.context(Certificate.GOOD)  # it writes the file
        self.ca_file = str(authority.ca_file)
        self.certificate = self.directory / f"{Certificate.GOOD}.pem"
        self.ports = {protocol: free_port() for protocol in self.protocols}
        self.log = self.directory / "log"
        self.process: Process | None = None

    def __enter__(self) -> Self:
        try:
            self._configure()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, and wait until it responds on each port."""
        self._own()
        with self.log.open("ab") as output:
            self.process = Process(
                self._command(),
                output=output,
                cwd=self.directory,
                user=self.user.pw_uid if self.user else None,
                group=self._gid(),
            )
        try:
            for port in self.ports.values():
                wait_until(
                    lambda port=port: _listens(port),  # type: ignore[misc]
                    within=20,
                    what=self.name,
                    process=self.process,
                )
        except StartError as error:
            raise StartError(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def close(self) -> None:
        """Stop the server and remove its directory."""
        if self.process is not None:
            self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _gid(self) -> int | None:
        """Return the group of the process; None for that of this process."""
        if self.user is None:
            return None
        return grp.getgrnam(self.group).gr_gid if self.group else self.user.pw_gid

    def _own(self) -> None:
        """Make the unprivileged user the owner of the directory."""
        if self.user is not None:
            for path in (self.directory, *self.directory.rglob("*")):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    # Defined by a subclass

    def _configure(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
