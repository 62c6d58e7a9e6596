"""unbound, a resolver that validates DNSSEC, with zones of its own that dnspython signs.

Nothing leaves the machine: it resolves these zones only. Their keys are its trust anchors.
"""

import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.dnssec
import dns.dnssectypes
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from dev.processes import Process, StartError, wait_until
from dev.sockets import free_port
from tests.mailbox_servers.base import program

PROGRAM = program("unbound")
_ANCHOR_FLAGS = 257  # of a key that also signs keys
_SETTINGS = """
server:
  interface: {host}
  port: {port}
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{directory}/anchors"
  local-zone: "test." nodefault
remote-control:
  control-enable: no
"""
_ZONE = """
auth-zone:
  name: "{name}"
  zonefile: "{directory}/{name}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""
_HEAD = "@ 60 SOA ns hostmaster 1 60 60 60 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n"


class Unbound:
    """One resolver on a port of its own. Zones are given by name, as lines of a zone file."""

    def __init__(
        self,
        *,
        signed: Mapping[str, str],
        plain: Mapping[str, str],
        changed: Callable[[str], str] = str,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`changed` gets each zone after it was signed, so that signatures become wrong."""
        self.host, self.port = host, port or free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="outbox-unbound-"))
        anchors = []
        for name, lines in signed.items():
            text, anchor = _signed(name, _HEAD + lines)
            (self._directory / name).write_text(changed(text))
            anchors.append(anchor)
        for name, lines in plain.items():
            (self._directory / name).write_text(f"$ORIGIN {name}.\n{_HEAD}{lines}\n")
        (self._directory / "anchors").write_text("\n".join(anchors) + "\n")
        settings = _SETTINGS.format(host=self.host, port=self.port, directory=self._directory)
        for name in (*signed, *plain):
            settings += _ZONE.format(name=name, directory=self._directory)
        (self._directory / "unbound.conf").write_text(settings)

    @property
    def address(self) -> str:
        """Where it listens, as "address:port"."""
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        log = self._directory / "log"
        with log.open("ab") as output:
            command = [PROGRAM, "-d", "-c", str(self._directory / "unbound.conf")]
            self._process = Process(command, output=output, cwd=self._directory)
        try:
            wait_until(
                lambda: _listens(self.host, self.port),
                within=20,
                what="unbound",
                process=self._process,
            )
        except StartError as error:
            text = log.read_text()[-2000:]
            self.__exit__(None, None, None)
            raise StartError(f"{error}\n{text}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def _signed(name: str, lines: str) -> tuple[str, str]:
    """Return a signed zone as text, and its key as a trust anchor."""
    zone = dns.zone.from_text(lines, origin=f"{name}.", relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(
        private.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=_ANCHOR_FLAGS
    )
    dns.dnssec.sign_zone(zone, keys=[(private, key)], lifetime=86_400, dnskey_ttl=60)
    return zone.to_text(relativize=False), f"{name}. 60 IN DNSKEY {key.to_text()}"


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
