"""How to reach one SMTP server, and how long to wait for it. Values only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import idna


class Security(StrEnum):
    """How the bytes are protected; there is no "if it happens to be offered"."""

    NONE = "none"  # plain text
    STARTTLS = "starttls"  # required: without it nothing is sent
    TLS = "tls"  # from the first byte (RFC 8314)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for each phase as a whole (RFC 5321 4.5.3.2): a slow drip hits them too."""

    connect: float = 30.0  # one address
    greeting: float = 300.0
    command: float = 300.0  # EHLO, STARTTLS, MAIL, each RCPT, RSET, NOOP
    tls: float = 60.0
    auth: float = 120.0  # each step of a login
    data: float = 120.0  # until the 354
    block: float = 180.0  # until some more of the body has left
    dot: float = 600.0  # until the final reply
    quit: float = 5.0


def _allow_all(_address: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server and the login there. The certificate is always verified against `host`."""

    host: str
    port: int
    security: Security
    username: str = ""
    secret: str = field(default="", repr=False)
    secret_is_token: bool = False  # an OAuth access token rather than a password
    ehlo_name: str = ""  # "": this machine's full name, else its address in brackets
    allow_plaintext_auth: bool = False  # meant for loopback; else a login needs TLS
    allow_address: Callable[[str], bool] = _allow_all  # asked with each IP before connecting
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_file: str | None = None  # authorities to trust in place of the system's
    pipelining: bool = True  # may be used where offered
    chunking: bool = True  # may be used where offered

    @property
    def wire_host(self) -> str:
        """The host as DNS and certificates know it: A-labels, a bare IP. Raises UnicodeError."""
        host = self.host.removesuffix(".").strip("[]")
        return host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
