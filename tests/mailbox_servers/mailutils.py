"""pop3d of GNU Mailutils (package mailutils-pop3d), with an mbox."""

import os
import pwd
import re
from pathlib import Path

from tests.mailbox_servers.base import PASSWORD, USER, MailboxServer, program

PROGRAM = program("pop3d")
DOMAIN = "near.test"
ADDRESS = f"{USER}@{DOMAIN}"
_CONFIGURATION = """
mode daemon;
foreground yes;
max-children 20;
logging {{
  syslog no;
}}
tcp-wrappers {{
  enable no;
}}
auth {{
  authentication generic;
  authorization virtdomain;
}}
virtdomain {{
  passwd-dir {directory}/domains;
}}
tls {{
  ssl-certificate-file {certificate};
  ssl-key-file {certificate};
}}
tls-file-checks {{
  key-file none;
  cert-file none;
}}
server 127.0.0.1:{pop3} {{
  tls-mode ondemand;
}}
server 127.0.0.1:{pop3s} {{
  tls-mode connection;
}}
"""


class Mailutils(MailboxServer):
    """One pop3d. Its mailbox is an mbox, in which a line that begins with “From ” gets a “>”."""

    name = "pop3d of GNU Mailutils"
    protocols = ("pop3", "pop3s")
    group = "mail"  # it sets this group, so it has to have it where it does not run as root

    def deliver(self, *sources: bytes) -> None:
        """Append messages as a delivery agent does. They may not have CRLF."""
        with self._inbox.open("ab") as inbox:
            for source in sources:
                quoted = re.sub(rb"^From ", b">From ", source, flags=re.MULTILINE)
                inbox.write(b"From ann@example.com Mon Jan  1 00:00:00 2024\n" + quoted + b"\n")

    def stored(self) -> int:
        """Return the number of messages that are in the mailbox."""
        return self._inbox.read_bytes().count(b"From ann@example.com ")

    @property
    def _inbox(self) -> Path:
        return self.directory / "INBOX"

    def _configure(self) -> None:
        (self.directory / "domains").mkdir()
        uid, gid = (self.user or pwd.getpwuid(os.getuid()))[2:4]
        account = f"{USER}:{_HASH}:{uid}:{gid}::{self.directory}:/bin/sh\n"
        (self.directory / "domains" / DOMAIN).write_text(account)
        self._inbox.touch()
        (self.directory / "pop3d.conf").write_text(
            _CONFIGURATION.format(
                directory=self.directory, certificate=self.certificate, **self.ports
            )
        )

    def _command(self) -> list[str]:
        assert PROGRAM is not None
        return [PROGRAM, "--config-file", str(self.directory / "pop3d.conf"), "--foreground"]


# PASSWORD, as crypt(3) stores it.
_HASH = (
    "$6$outboxtests$XJU8iYaHKZO2AeFYunvotQ59IE9C.sk4q39CPd9E5iQkDHBH6KnnYVaGN5CpxT8tPNwDMXRgeBNLcV"
    "/g2UnMe0"
)

__all__ = ["ADDRESS", "PASSWORD", "PROGRAM", "Mailutils"]
