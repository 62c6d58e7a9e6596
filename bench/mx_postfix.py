"""Postfix as a client: a queue that is filled while nothing is sent, and then released.

It is the Postfix of the tests with other settings. It asks a DNS server at port 53 of a loopback
address, which its SMTP clients find in the `resolv.conf` of their chroot.
"""

import signal
import smtplib
from collections.abc import Sequence
from pathlib import Path

from dev.processes import wait_until
from tests.mx_servers.postfix import Postfix

_FILLERS = 4  # messages are queued in so many sessions, one after the other
_PROCESSES = 400  # SMTP clients; more of them were not faster
# Later lines replace earlier ones. A process is kept for as many sessions as there are.
_MAIN = """
virtual_mailbox_domains =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
default_process_limit = {processes}
default_destination_concurrency_limit = 20
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
smtp_tcp_port = {port}
smtp_host_lookup = dns
smtp_bind_address = 127.0.0.1
smtp_tls_security_level = none
max_use = 10000
in_flow_delay = 0
"""
_CLIENTS = """
smtp unix - - y - - smtp
retry unix - - n - - error
scache unix - - n - 1 scache
"""
_QUEUE_MANAGER = "qmgr unix n - n 300 1 qmgr\n"


class PostfixClient(Postfix):
    """One Postfix that delivers by MX. Its queue manager starts with `release`."""

    def __init__(self, port: int, *, dns_host: str, mx_port: int) -> None:
        """`port` is where it accepts messages, and `mx_port` that of all other servers."""
        super().__init__(port, {"127.0.0.1": None})
        self._dns_host, self._mx_port = dns_host, mx_port

    def _configure(self) -> None:
        super()._configure()
        etc = self.directory / "etc"
        main, services = etc / "main.cf", etc / "master.cf"
        replaced = {line.partition(" =")[0] for line in _MAIN.splitlines() if line}
        kept = [
            line
            for line in main.read_text().splitlines()
            if line.partition(" =")[0] not in replaced and not line.startswith("virtual_")
        ]
        added = _MAIN.format(processes=_PROCESSES, port=self._mx_port)
        main.write_text("\n".join(kept) + added)
        services.write_text(services.read_text().replace(_QUEUE_MANAGER, "") + _CLIENTS)
        resolver = self.directory / "spool" / "etc" / "resolv.conf"
        resolver.parent.mkdir()
        resolver.write_text(f"nameserver {self._dns_host}\n")

    def fill(self, sender: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Queue messages, given as recipient and source."""
        for start in range(_FILLERS):
            with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
                for recipient, source in messages[start::_FILLERS]:
                    client.sendmail(sender, [recipient], source)
        wait_until(
            lambda: len(self.queued()) == len(messages),
            within=60,
            what="the queue of Postfix",
            process=self.process,
        )

    def queued(self) -> list[Path]:
        """Return the files of the messages that are not delivered."""
        return self._spooled()

    def release(self) -> None:
        """Start the queue manager, which reads the queue at once."""
        assert self.process is not None
        services = self.directory / "etc" / "master.cf"
        services.write_text(services.read_text() + _QUEUE_MANAGER)
        self.process.signal(signal.SIGHUP)
