"""Facts about a session besides its transcript, for the record of an attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.reasons import NO_REASON, Reason
from outbox.smtp.faults import OPENING_PHASES, Phase


class TlsLevel(StrEnum):
    """The protection that a session achieved."""

    NONE = "none"  # plain text
    ENCRYPTED = "encrypted"  # against readers on the path, not against a server in between
    VERIFIED = "verified"  # by a certificate of a trusted authority
    DANE = "dane"  # by a TLSA record


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The TLS connection after its handshake."""

    version: str  # "TLSv1.3"
    cipher: str
    subject: str
    issuer: str
    not_after: str
    verified: bool


@dataclass(slots=True)
class SessionFacts:
    """Facts about one session, filled while it opens, so that a failed one has those up to then."""

    host: str
    port: int
    address: str = ""  # the IP that accepted the connection, or the last one tried
    local_address: str = ""
    greeting: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)  # of the last EHLO
    tls: TlsFacts | None = None
    tls_requested: str = ""  # a value of Security
    tls_achieved: TlsLevel = TlsLevel.NONE
    tls_why: Reason = NO_REASON  # why it is not more; empty if it is what was requested
    auth_mechanism: str = ""
    phases_ms: dict[str, float] = field(default_factory=dict)
    tried: list[tuple[str, Reason]] = field(default_factory=list)  # addresses that failed, and why

    @property
    def next_phase(self) -> Phase:
        """The first phase of the opening that has no time yet."""
        return next((Phase(one) for one in OPENING_PHASES if one not in self.phases_ms), Phase.AUTH)
