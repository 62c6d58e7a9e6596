"""Postfix (package postfix). Its master needs root; the rest runs as users of Debian's base."""

import grp
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from tests.mx_servers.base import MxServer
from tests.mx_servers.unpack import ROOT

CAN_RUN = os.geteuid() == 0
_OWNER = "mail"  # of the queue; another user than that of the mailbox
_GROUP = "uucp"  # of the folder for local submission, which no program of ours uses
_MAIN = """
compatibility_level = 3.6
myhostname = postfix.test
queue_directory = {directory}/spool
data_directory = {directory}/data
meta_directory = {directory}/etc
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
import_environment = LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG
mail_owner = {owner}
setgid_group = {group}
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
inet_protocols = ipv4
mydestination =
alias_maps =
alias_database =
mynetworks =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {directory}/boxes
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_tls_received_header = yes
"""
_SERVICES = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
_LISTENER = """
{address}:{port} inet n - n - - smtpd
  -o smtpd_tls_security_level={level}
  -o smtpd_tls_chain_files={certificate}
"""
# In this order a message moves, so that none is overlooked.
_QUEUES = ("incoming", "active", "deferred")
_OTHERS = ("bounce", "corrupt", "defer", "flush", "hold", "private", "saved", "trace")


class Postfix(MxServer):
    """One Postfix."""

    name = "Postfix"
    _tls_mark = "(using TLS"

    def __init__(self, port: int, addresses: Mapping[str, Path | None]) -> None:
        super().__init__(port, addresses)
        self.user = pwd.getpwnam("nobody")

    def _configure(self) -> None:
        etc = self.directory / "etc"
        etc.mkdir()
        (self.directory / "boxes").mkdir()
        self._own(self.directory / "boxes")
        (etc / "main.cf").write_text(
            _MAIN.format(
                directory=self.directory,
                root=ROOT,
                owner=_OWNER,
                group=_GROUP,
                uid=self.user.pw_uid,
                gid=self.user.pw_gid,
            )
        )
        listeners = [
            _LISTENER.format(
                address=address,
                port=self.port,
                level="none" if file is None else "may",
                certificate=file or "",
            )
            for address, file in self.certificates.items()
        ]
        (etc / "master.cf").write_text(_SERVICES + "".join(listeners))
        self._make_spool()

    def _make_spool(self) -> None:
        owner, group = pwd.getpwnam(_OWNER).pw_uid, grp.getgrnam(_GROUP).gr_gid
        spool = self.directory / "spool"
        (spool / "pid").mkdir(parents=True)
        folders = [*(spool / name for name in (*_QUEUES, *_OTHERS)), self.directory / "data"]
        for folder in folders:
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, -1)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            (spool / name).mkdir()
            (spool / name).chmod(mode)
            os.chown(spool / name, owner, group)

    def _command(self) -> list[str | Path]:
        return [ROOT / "usr/lib/postfix/sbin/master", "-d", "-c", self.directory / "etc"]

    def _spooled(self) -> list[Path]:
        spool = self.directory / "spool"
        return [path for name in _QUEUES for path in (spool / name).rglob("*") if path.is_file()]
