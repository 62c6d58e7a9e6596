"""What is known of a session apart from its dialogue, kept with every attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """The secured connection as it was reached."""

    version: str  # "TLSv1.3"
    cipher: str
    subject: str
    issuer: str
    not_after: str
    verified: bool


@dataclass(slots=True)
class SessionFacts:
    """Filled while a session opens, so that a failed one still tells how far it came."""

    host: str
    port: int
    address: str = ""  # the IP that answered, or the last one tried
    local_address: str = ""
    greeting: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)  # of the last EHLO
    tls: TlsFacts | None = None
    auth_mechanism: str = ""
    phases_ms: dict[str, float] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)  # "192.0.2.1: refused", one an address
