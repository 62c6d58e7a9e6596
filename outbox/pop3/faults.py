"""Why a POP3 session failed, and what follows from it for the next one."""

import re
from enum import StrEnum

from outbox.reasons import Reason

_DELAY = re.compile(r"LOGIN-DELAY (\d{1,9})")
_LOGIN_DELAY_DEFAULT = 60  # seconds, where the server names none


class FaultKind(StrEnum):
    """What a fetcher does about a fault."""

    BUSY = "busy"  # another session has the mailbox: leave, and come later
    WAIT = "wait"  # the server wants a pause, or has a problem for now
    CREDENTIALS = "credentials"  # a person has to correct the login; never try it again at once
    ACCOUNT = "account"  # closed for good: a person has to contact the provider
    LOGIN = "login"  # rejected without a reason: try again rarely, or the account is locked
    UNAVAILABLE = "unavailable"  # the server offers no login or no TLS that the account allows
    REJECTED = "rejected"  # a command failed; the session goes on
    PROTOCOL = "protocol"  # the server violates the protocol
    INJECTION = "injection"  # plain text after the reply to STLS
    CLOSED = "closed"  # by the server, or by the network


class Pop3FaultError(Exception):
    """A session or a command failed. `text` is the server's, made safe to show.

    `reason` is set if the cause is not the server's response.
    """

    def __init__(
        self,
        kind: FaultKind,
        text: str,
        *,
        code: str = "",
        delay: int = 0,
        reason: Reason | None = None,
    ) -> None:
        super().__init__(f"{kind}: {text}" if text else str(kind))
        self.kind = kind
        self.text = text
        self.code = code  # the extended response code (RFC 2449 8), in upper case
        self.reason = reason
        self.delay = delay  # seconds that the server wants between two logins

    @property
    def needs_person(self) -> bool:
        """Whether the same login fails until a person has changed something."""
        return self.kind in {FaultKind.CREDENTIALS, FaultKind.ACCOUNT}


def local_fault(kind: FaultKind, reason: Reason) -> Pop3FaultError:
    """Return a fault that the client found, not the server."""
    return Pop3FaultError(kind, str(reason), reason=reason)


def login_fault(code: str, text: str) -> Pop3FaultError:
    """Return the fault of a rejected login, by its extended response code (RFC 2449, RFC 3206)."""
    if match := _DELAY.match(code):
        return Pop3FaultError(FaultKind.WAIT, text, code=code, delay=int(match[1]))
    kinds = {
        "IN-USE": FaultKind.BUSY,
        "LOGIN-DELAY": FaultKind.WAIT,
        "SYS/TEMP": FaultKind.WAIT,
        "AUTH": FaultKind.CREDENTIALS,
        "SYS/PERM": FaultKind.ACCOUNT,
    }
    kind = kinds.get(code, FaultKind.LOGIN)
    delay = _LOGIN_DELAY_DEFAULT if code == "LOGIN-DELAY" else 0
    return Pop3FaultError(kind, text, code=code, delay=delay)
