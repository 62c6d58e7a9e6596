"""Dovecot (packages dovecot-pop3d and dovecot-imapd), with a Maildir."""

import itertools
import os
import pwd
from pathlib import Path

from tests.mailbox_servers.base import PASSWORD, USER, MailboxServer, program

PROGRAM = program("dovecot")
_CONFIGURATION = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = /dev/stderr
protocols = pop3 imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{directory}/Maildir
mail_fsync = never
ssl = required
ssl_cert = <{certificate}
ssl_key = <{certificate}
ssl_client_require_valid_cert = no
auth_mechanisms = plain login apop
pop3_uidl_format = %f
pop3_lock_session = yes
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={directory}
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  mailbox "Gesendete Objekte – \u53d1" {{
    special_use = \\Sent
    auto = create
  }}
}}
{extra}
"""


class Dovecot(MailboxServer):
    """One Dovecot. `extra` is appended to its configuration."""

    name = "Dovecot"
    protocols = ("pop3", "pop3s", "imap", "imaps")

    def __init__(self, extra: str = "") -> None:
        super().__init__()
        self._extra = extra
        self._numbers = itertools.count(1)
        self.maildir = self.directory / "Maildir"

    def deliver(self, *sources: bytes, with_sizes: bool = False) -> None:
        """Store messages as a delivery agent does, in this order.

        `with_sizes` adds their sizes to the names, so that Dovecot lists many without reading them.
        """
        for source in sources:
            number = next(self._numbers)
            name = f"{1_700_000_000 + number}.M{number}.near"
            if with_sizes:
                virtual = len(source) + source.count(b"\n") - source.count(b"\r\n")
                name += f",S={len(source)},W={virtual}"
            path = self.maildir / "new" / name
            path.write_bytes(source)
            if self.user is not None:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def stored(self) -> list[Path]:
        """Return the files of the messages that are in the mailbox."""
        return sorted(
            [*self.maildir.glob("new/*"), *self.maildir.glob("cur/*")], key=lambda path: path.name
        )

    def _configure(self) -> None:
        user = self.user or pwd.getpwuid(os.getuid())
        for folder in ("new", "cur", "tmp"):
            (self.maildir / folder).mkdir(parents=True)
        (self.directory / "run").mkdir()
        (self.directory / "dovecot.conf").write_text(
            _CONFIGURATION.format(
                directory=self.directory,
                certificate=self.certificate,
                user=user.pw_name,
                group=_group(user.pw_gid),
                uid=user.pw_uid,
                gid=user.pw_gid,
                password=PASSWORD,
                extra=self._extra,
                **self.ports,
            )
        )

    def _command(self) -> list[str]:
        assert PROGRAM is not None
        return [PROGRAM, "-F", "-c", str(self.directory / "dovecot.conf")]


def _group(number: int) -> str:
    import grp

    return grp.getgrgid(number).gr_name


__all__ = ["PASSWORD", "PROGRAM", "USER", "Dovecot"]
