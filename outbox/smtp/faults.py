"""Where and how a session failed: `SmtpFault` and its closed vocabulary.

A fault is about a connection. A server's reply to one recipient is an outcome, never a fault.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from outbox.exceptions import OutboxError
from outbox.reasons import NO_REASON, Reason
from outbox.smtp.reply import Reply

if TYPE_CHECKING:
    from outbox.smtp.facts import SessionFacts
    from outbox.smtp.transcript import Transcript


class Phase(StrEnum):
    """What the client was doing; each phase has its own deadline (RFC 5321 4.5.3.2)."""

    RESOLVE = "resolve"  # DNS lookup of the host's addresses
    CONNECT = "connect"  # TCP handshake with one address
    GREETING = "greeting"  # waiting for the server's first 220
    EHLO = "ehlo"  # EHLO, or HELO where EHLO is unknown
    STARTTLS = "starttls"  # the command and its reply
    TLS = "tls"  # handshake and certificate
    AUTH = "auth"  # the whole exchange of one login
    MAIL = "mail"  # MAIL FROM and its reply
    RCPT = "rcpt"  # each RCPT TO and its reply
    DATA = "data"  # DATA and its 354
    BODY = "body"  # sending the message data, before the final dot
    DOT = "dot"  # waiting for the reply to the final dot
    RSET = "rset"  # after a rejected transaction, before another one
    QUIT = "quit"  # QUIT and its reply
    IDLE = "idle"  # between transactions, no reply due


# The order in which phases happen.
OPENING_PHASES = (
    Phase.RESOLVE,
    Phase.CONNECT,
    Phase.GREETING,
    Phase.EHLO,
    Phase.STARTTLS,
    Phase.TLS,
    Phase.AUTH,
)
TRANSACTION_PHASES = (
    Phase.RSET,
    Phase.MAIL,
    Phase.RCPT,
    Phase.DATA,
    Phase.BODY,
    Phase.DOT,
)


class FaultKind(StrEnum):
    """What went wrong, as far as the client can distinguish causes."""

    RESOLVE = "resolve"  # the name does not resolve
    FORBIDDEN = "forbidden"  # an address that this installation does not allow
    REFUSED = "refused"  # nothing listens there
    UNREACHABLE = "unreachable"  # the network or host cannot be reached
    TIMEOUT = "timeout"  # the phase exceeded its deadline, also by a slow drip
    CLOSED = "closed"  # the server closed the connection
    RESET = "reset"  # the connection was reset
    PROTOCOL = "protocol"  # not SMTP: an invalid reply, a wrong class, an extra reply
    REJECTED = "rejected"  # the server rejected the session: a 554 greeting, a rejected EHLO
    SHUTDOWN = "shutdown"  # 421: the server is about to close
    NO_STARTTLS = "no_starttls"  # required, but not announced or rejected
    TLS = "tls"  # the handshake failed for another reason than the certificate
    CERT_EXPIRED = "cert_expired"  # outside the certificate's dates
    CERT_NAME = "cert_name"  # for another host
    CERT_UNTRUSTED = "cert_untrusted"  # not signed by a known authority
    INJECTION = "injection"  # plain bytes after the reply to STARTTLS (RFC 3207 6)
    AUTH_REJECTED = "auth_rejected"  # the login is wrong or has expired: 535 and similar
    AUTH_TEMPORARY = "auth_temporary"  # the server cannot check logins now: 454
    AUTH_UNAVAILABLE = "auth_unavailable"  # no common mechanism, or no TLS to protect it
    ABANDONED = "abandoned"  # `before_dot` denied the final dot, or the worker is stopped
    LOCAL = "local"  # rejected by the client
    EXHAUSTED = "exhausted"  # this host has no descriptor, memory, thread or port left


class SmtpFault(OutboxError):  # noqa: N818 - not every fault is an error
    """A session ended before its work was done. The reason is free of secrets."""

    def __init__(
        self, phase: Phase, kind: FaultKind, reason: Reason, *, reply: Reply | None = None
    ) -> None:
        super().__init__(phase, kind, reason)
        self.phase = phase
        self.kind = kind
        self.reason = reason
        self.reply = reply
        # Set by `Connection.open`; None for the fault of a transaction.
        self.transcript: Transcript | None = None
        self.facts: SessionFacts | None = None
        # Set by delivery by MX: why the level of TLS was requested of the server.
        self.tls_policy = NO_REASON

    @property
    def detail(self) -> str:
        """The reason as an English sentence."""
        return str(self.reason)

    def __str__(self) -> str:
        return f"{self.phase}: {self.reason}"


def is_of_tls(fault: SmtpFault) -> bool:
    """Return whether TLS or the certificate failed, so that less protection may have worked."""
    return fault.phase in {Phase.STARTTLS, Phase.TLS} or fault.kind in {
        FaultKind.NO_STARTTLS,
        FaultKind.TLS,
        FaultKind.CERT_EXPIRED,
        FaultKind.CERT_NAME,
        FaultKind.CERT_UNTRUSTED,
        FaultKind.INJECTION,
    }


def is_tls_failure(fault: SmtpFault) -> bool:
    """Return whether plain text may work where this failed.

    Bytes that were injected before the handshake are an attack, and no reason for less protection.
    With TLS 1.3 a server may reject the handshake after the client has finished it.
    """
    if fault.kind is FaultKind.TLS:
        return True
    return fault.phase in {Phase.STARTTLS, Phase.TLS} and fault.kind in {
        FaultKind.TIMEOUT,
        FaultKind.CLOSED,
        FaultKind.RESET,
        FaultKind.PROTOCOL,
    }
