"""How to connect to one SMTP server, and its timeouts. Values only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.net.resolve import wire_host
from outbox.smtp.dane import Tlsa
from outbox.smtp.extensions import Restrictions


class Security(StrEnum):
    """How the connection is protected. Accounts have the first three.

    The others are for delivery by MX, where a server is not known beforehand.
    """

    NONE = "none"  # plain text
    STARTTLS = "starttls"  # required: without it no message is sent
    TLS = "tls"  # from the first byte (RFC 8314)
    OPPORTUNISTIC = "opportunistic"  # STARTTLS if offered, whatever the certificate (RFC 7435)
    VERIFY = "verify"  # STARTTLS, and a valid certificate for the host (RFC 8461)
    DANE = "dane"  # STARTTLS, and a certificate that matches `tlsa` (RFC 7672)


class PlainText(StrEnum):
    """When opportunistic TLS uses plain text."""

    NEVER = "never"  # TLS is required, whatever the certificate
    IF_NOT_OFFERED = "if_not_offered"
    AFTER_FAILURE = "after_failure"  # also if STARTTLS or the handshake fails


_FOR_MX = frozenset({Security.OPPORTUNISTIC, Security.VERIFY, Security.DANE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for each phase as a whole (RFC 5321 4.5.3.2), also against a slow drip."""

    connect: float = 30.0  # one address
    greeting: float = 300.0
    command: float = 300.0  # EHLO, STARTTLS, MAIL, each RCPT, RSET
    tls: float = 60.0
    auth: float = 120.0  # each step of a login
    data: float = 120.0  # until the 354
    block: float = 180.0  # until more of the body has been sent
    dot: float = 600.0  # until the final reply
    quit: float = 5.0


def _allow_all(_address: str) -> bool:
    return True


def _no_restrictions(_offered: Mapping[str, str]) -> Restrictions:
    return Restrictions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server and the login there.

    A certificate that is required is verified against `host`, except with DANE. The securities for
    delivery by MX allow no login: its password would protect nothing that an unknown server cannot
    read.
    """

    host: str
    port: int
    security: Security
    username: str = ""
    secret: str = field(default="", repr=False)
    secret_is_token: bool = False  # an OAuth access token rather than a password
    ehlo_name: str = ""  # "": this machine's full name, else its address in brackets
    allow_plaintext_auth: bool = False  # for loopback only: otherwise a login needs TLS
    allow_address: Callable[[str], bool] = _allow_all  # called with each IP before connecting
    # Called with the announced extensions: what the server rejected in earlier sessions.
    restrictions: Callable[[Mapping[str, str]], Restrictions] = _no_restrictions
    timeouts: Timeouts = field(default_factory=Timeouts)
    ca_file: str | None = None  # authorities that are trusted besides the system's
    addresses: tuple[str, ...] = ()  # of the host, if they were looked up already
    addresses_max: int | None = None  # addresses of the host that are tried; None: all
    pipelining: bool = True  # use it if announced
    chunking: bool = True  # use it if announced

    plain_text: PlainText = PlainText.IF_NOT_OFFERED  # for opportunistic TLS only
    tls_names: tuple[str, ...] = ()  # for DANE, the one for SNI first; (): the host
    tlsa: tuple[Tlsa, ...] = ()  # for DANE, validated by DNSSEC
    # Whether the host is certainly the right one. False: DNS named it, and nothing proves that.
    is_host_proven: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for a login at a server that is not known beforehand."""
        if self.username and self.security in _FOR_MX:
            raise ValueError(f"The security {self.security} allows no login.")

    @property
    def uses_starttls(self) -> bool:
        """Whether STARTTLS is sent, if it is offered."""
        return self.security is Security.STARTTLS or self.security in _FOR_MX

    @property
    def needs_starttls(self) -> bool:
        """Whether nothing is sent without STARTTLS."""
        if self.security is Security.OPPORTUNISTIC:
            return self.plain_text is PlainText.NEVER
        return self.uses_starttls

    @property
    def falls_back(self) -> bool:
        """Whether plain text is used after a failure of TLS."""
        return (
            self.security is Security.OPPORTUNISTIC and self.plain_text is PlainText.AFTER_FAILURE
        )

    @property
    def sni(self) -> str:
        """The name that the TLS handshake asks for: with DANE, that of the records."""
        if self.security is Security.DANE and self.tls_names:
            return self.tls_names[0]
        return self.wire_host

    @property
    def wire_host(self) -> str:
        """The host for DNS and certificates: A-labels or a bare IP. Raises UnicodeError."""
        return wire_host(self.host)
