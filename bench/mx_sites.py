"""Many domains on loopback, each with a mail server of its own, and the DNS server that names them.

The servers are one process that listens at many addresses. With more domains than addresses, the
servers of several domains have the same address, and they still are different sites.
"""

import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.world import ROOT
from dev.processes import Process, wait_until
from dev.sockets import free_port
from tests.unbound_server import Unbound

ZONE = "bench.test"
SENDER = f"shop@sender.{ZONE}"
ADDRESSES_MAX = 500
DNS_HOST, DNS_PORT = "127.0.53.1", 53  # Postfix can be given an address, but no port


def mx_domain(site: int) -> str:
    """Return the domain of a site."""
    return f"d{site}.{ZONE}"


@dataclass(frozen=True, slots=True)
class Sites:
    """The running servers. All of them use one port, as mail servers use port 25."""

    port: int
    dns: str  # as "address:port"

    def received(self) -> dict[str, int]:
        """Return the counts of all servers together."""
        with self._client() as client:
            return _counts(client)

    def wait_received(self, count: int, within: float) -> float:
        """Wait until so many different messages were received; return the time of the last one.

        It uses one connection, so that the number of connections is that of the sender, plus one.
        """
        deadline = time.monotonic() + within
        with self._client() as client:
            while (found := _counts(client))["distinct"] < count:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{found['distinct']} of {count} messages were received")
                time.sleep(0.05)  # each look costs the receiver some time
        return time.time()

    def _client(self) -> smtplib.SMTP:
        return smtplib.SMTP(_address(0), self.port, timeout=30)


def _counts(client: smtplib.SMTP) -> dict[str, int]:
    _, text = client.docmd("XSTATS")
    counts: dict[str, int] = json.loads(text)
    return counts


@contextmanager
def mx_sites(scratch: Path, count: int, *, delay_ms: float = 0) -> Iterator[Sites]:
    """Run the servers and the DNS server of so many sites."""
    addresses = [_address(number) for number in range(min(count, ADDRESSES_MAX))]
    lines = "".join(
        f"d{site} 600 MX 10 mx.d{site}\nmx.d{site} 600 A {_address(site)}\n"
        for site in range(count)
    )
    port, ready = free_port(), scratch / f"sites-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "outbox.testing.sink", "--ready-file", str(ready)]
    command += ["--port", str(port), "--delay-ms", str(delay_ms), "--host", *addresses]
    with Unbound(signed={}, plain={ZONE: lines}, host=DNS_HOST, port=DNS_PORT) as dns:
        process = Process(command, output=subprocess.DEVNULL, cwd=ROOT)
        try:
            wait_until(ready.exists, within=60, what="the receivers", process=process)
            yield Sites(port, dns.address)
        finally:
            process.stop()


def _address(site: int) -> str:
    number = site % ADDRESSES_MAX
    return f"127.9.{number // 250}.{number % 250 + 1}"
