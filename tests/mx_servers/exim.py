"""Exim (package exim4-daemon-light), as an unprivileged user."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from dev.postgres_server import unprivileged_user
from tests.mx_servers.base import MxServer
from tests.mx_servers.unpack import ROOT

_CONFIGURATION = """
primary_hostname = exim.test
spool_directory = {directory}/spool
log_file_path = {directory}/%slog
exim_user = {uid}
exim_group = {gid}
keep_environment = ^LD_ : ^NSS_WRAPPER_
deliver_drop_privilege = true
local_interfaces = <; {interfaces}
daemon_smtp_ports = {port}
smtp_accept_max = 100
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = ${{if inlist{{$received_ip_address}}{{{with_tls}}}{{*}}{{}}}}
tls_certificate = {certificates}
acl_smtp_rcpt = check_rcpt

begin acl

check_rcpt:
  defer
    message = 4.7.1 Greylisted, try again later
    domains = {greylisted}
    !seen = 1h / key=$local_part@$domain
  accept

begin routers

all:
  driver = accept
  transport = mailbox

begin transports

mailbox:
  driver = appendfile
  directory = {maildir}
  maildir_format
  envelope_to_add
"""


class Exim(MxServer):
    """One Exim. It defers the first attempt at each recipient in a greylisted domain."""

    name = "Exim"
    _tls_mark = " with esmtps "

    def __init__(
        self, port: int, addresses: Mapping[str, Path | None], *, greylisted: str = ""
    ) -> None:
        super().__init__(port, addresses)
        self.user = unprivileged_user() or pwd.getpwuid(os.getuid())
        self._greylisted = greylisted

    def _configure(self) -> None:
        for folder in ("spool", *(f"boxes/all/{one}" for one in ("new", "cur", "tmp"))):
            (self.directory / folder).mkdir(parents=True)
        uid, gid = self.user.pw_uid, self.user.pw_gid
        # The program contains the name of its user, which the package would have created.
        (self.directory / "passwd").write_text(f"Debian-exim:x:{uid}:{gid}::/nonexistent:/bin/sh\n")
        (self.directory / "group").write_text(f"Debian-exim:x:{gid}:\n")
        certificates = {one: file for one, file in self.certificates.items() if file is not None}
        (self.directory / "exim.conf").write_text(
            _CONFIGURATION.format(
                directory=self.directory,
                maildir=self.maildir,
                uid=uid,
                gid=gid,
                port=self.port,
                interfaces="; ".join(self.certificates),
                with_tls=" : ".join(certificates),
                certificates="".join(
                    f"${{if eq{{$received_ip_address}}{{{one}}}{{{file}}}}}"
                    for one, file in certificates.items()
                ),
                greylisted=self._greylisted,
            )
        )
        self._own(self.directory)

    def _environment(self) -> dict[str, str]:
        (wrapper,) = ROOT.glob("usr/lib/*/libnss_wrapper.so")
        return super()._environment() | {
            "LD_PRELOAD": str(wrapper),
            "NSS_WRAPPER_PASSWD": str(self.directory / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.directory / "group"),
        }

    def _process_user(self) -> dict[str, int]:
        if unprivileged_user() is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid}

    def _command(self) -> list[str | Path]:
        program = ROOT / "usr/sbin/exim4"
        return [program, "-C", self.directory / "exim.conf", "-bdf", "-q1h"]

    def _spooled(self) -> list[Path]:
        return list((self.directory / "spool").glob("input/*"))
