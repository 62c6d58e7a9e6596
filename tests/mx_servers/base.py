"""What both servers need: a directory, an address for each certificate, a process, a mailbox."""

import email
import email.policy
import os
import pwd
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from dev.processes import Process, StartError, wait_until
from tests.mx_servers.unpack import ROOT, library_path


class Stored(NamedTuple):
    """One message in the mailbox, as the server describes it."""

    message_id: str  # without angle brackets
    recipient: str
    queue_id: str
    is_encrypted: bool  # by the server's Received field


class MxServer:
    """One server that accepts messages for all domains, and stores them in one Maildir."""

    name: str
    user: pwd.struct_passwd  # that owns the mailbox
    _tls_mark: str  # in the Received field of a message that came with TLS

    def __init__(self, port: int, addresses: Mapping[str, Path | None]) -> None:
        """`addresses` has the certificate of each address, which is None without STARTTLS."""
        self.port = port
        self.directory = Path(tempfile.mkdtemp(prefix=f"outbox-{self.name.lower()}-"))
        self.directory.chmod(0o755)
        self.maildir = self.directory / "boxes" / "all"
        self.log = self.directory / "log"
        self.process: Process | None = None
        self.certificates: dict[str, Path | None] = {}
        for address, certificate in addresses.items():
            copied = self.directory / f"{address}.pem"
            if certificate is not None:
                shutil.copyfile(certificate, copied)
            self.certificates[address] = None if certificate is None else copied

    def __enter__(self) -> Self:
        try:
            self._configure()
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def stored(self) -> list[Stored]:
        """Return the messages in the mailbox, after the server has stored all that it accepted."""
        wait_until(
            lambda: not self._spooled(),
            within=60,
            what=f"the spool of {self.name} is empty",
            process=self.process,
        )
        return [self._described(path) for path in sorted(self.maildir.glob("new/*"))]

    def _described(self, path: Path) -> Stored:
        found = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
        recipients = [*found.get_all("X-Original-To", []), *found.get_all("Envelope-To", [])]
        (recipient,) = recipients
        received = found["Received"]
        queue_id = re.search(r"\sid ([\w-]+)", received)
        assert queue_id is not None, received
        message_id = found["Message-ID"].strip("<>")
        return Stored(message_id, recipient, queue_id[1], self._tls_mark in received)

    def _start(self) -> None:
        with self.log.open("ab") as output:
            self.process = Process(
                self._command(),
                environment=os.environ | self._environment(),
                output=output,
                cwd=self.directory,
                **self._process_user(),
            )
        try:
            for address in self.certificates:
                wait_until(
                    lambda address=address: self._listens(address),  # type: ignore[misc]
                    within=60,
                    what=self.name,
                    process=self.process,
                )
        except StartError as error:
            logs = "".join(path.read_text() for path in sorted(self.directory.glob("*log")))
            raise StartError(f"{error}\n{logs[-2000:]}") from None

    def _listens(self, address: str) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((address, self.port)) == 0

    def _close(self) -> None:
        if self.process is not None:
            self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _own(self, *paths: Path) -> None:
        """Make the server's user the owner of these folders and their content."""
        for folder in paths:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": library_path(ROOT)}

    def _process_user(self) -> dict[str, int]:
        """Return the user and the group of the process; nothing for those of this process."""
        return {}

    # Defined by a subclass

    def _configure(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _spooled(self) -> list[Path]:
        """Return the files of accepted messages that are not in the mailbox yet."""
        raise NotImplementedError
