"""Where and how a session broke off: `SmtpFault` and its closed vocabulary.

A fault speaks of a connection. What a server said of one recipient is an outcome, never a fault.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from outbox.exceptions import OutboxError
from outbox.smtp.reply import Reply

if TYPE_CHECKING:
    from outbox.smtp.facts import SessionFacts
    from outbox.smtp.transcript import Transcript


class Phase(StrEnum):
    """What the client was doing; each has a deadline of its own (RFC 5321 4.5.3.2)."""

    RESOLVE = "resolve"  # asking DNS for the host's addresses
    CONNECT = "connect"  # TCP handshake with one address
    GREETING = "greeting"  # waiting for the server's first 220
    EHLO = "ehlo"  # EHLO, or HELO where EHLO is unknown
    STARTTLS = "starttls"  # the command and its reply
    TLS = "tls"  # handshake and certificate
    AUTH = "auth"  # the whole exchange of one login
    MAIL = "mail"  # MAIL FROM and its reply
    RCPT = "rcpt"  # each RCPT TO and its reply
    DATA = "data"  # DATA and its 354
    BODY = "body"  # the message on its way, its end not yet written
    DOT = "dot"  # the end was written, the final reply is awaited
    RSET = "rset"  # after a refused transaction, before the next MAIL
    QUIT = "quit"  # parting
    IDLE = "idle"  # nothing was asked, nothing was owed


class FaultKind(StrEnum):
    """What went wrong, as far as the client can tell causes apart."""

    RESOLVE = "resolve"  # the name does not resolve
    FORBIDDEN = "forbidden"  # an address this installation does not let mail go to
    REFUSED = "refused"  # nothing listens there
    UNREACHABLE = "unreachable"  # no way to that network or host
    TIMEOUT = "timeout"  # the phase took longer than it may, slow drip included
    CLOSED = "closed"  # the server hung up
    RESET = "reset"  # the connection was torn down
    PROTOCOL = "protocol"  # no SMTP: nonsense, a wrong class, one reply too many
    REJECTED = "rejected"  # the server said no to the session: a 554 greeting, a refused EHLO
    SHUTDOWN = "shutdown"  # 421: the server is about to close
    NO_STARTTLS = "no_starttls"  # STARTTLS is required here, and was not offered or was refused
    TLS = "tls"  # the handshake failed, no certificate to blame
    CERT_EXPIRED = "cert_expired"  # outside the dates on it
    CERT_NAME = "cert_name"  # made out to another host
    CERT_UNTRUSTED = "cert_untrusted"  # no known authority vouches for it
    INJECTION = "injection"  # plain bytes behind the reply to STARTTLS (RFC 3207 6)
    AUTH_REJECTED = "auth_rejected"  # the login is wrong or has expired: 535 and kin
    AUTH_TEMPORARY = "auth_temporary"  # the server cannot check logins now: 454
    AUTH_UNAVAILABLE = "auth_unavailable"  # no mechanism both sides know, or no TLS to use it over
    ABANDONED = "abandoned"  # `before_dot` said no
    LOCAL = "local"  # refused on this side


class SmtpFault(OutboxError):  # noqa: N818 - what breaks off may be no error of anybody
    """A session ended before its work was done; `detail` is one sentence, free of secrets."""

    def __init__(
        self, phase: Phase, kind: FaultKind, detail: str, *, reply: Reply | None = None
    ) -> None:
        super().__init__(phase, kind, detail)
        self.phase = phase
        self.kind = kind
        self.detail = detail
        self.reply = reply
        # What `Session.open` had learnt by then; None on the fault of a transaction.
        self.transcript: Transcript | None = None
        self.facts: SessionFacts | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {self.detail}"
