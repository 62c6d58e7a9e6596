"""The protection that is requested of each server of a domain: one function decides.

Opportunistic TLS is the base (RFC 7435): what a server offers is used, whatever its certificate.
The TLS floor of the site's shaping raises it.
"""

from dataclasses import dataclass

from outbox.conf import Conf
from outbox.net.dns_resolver import DnsResolver
from outbox.net.mx import Exchanger, Exchangers
from outbox.net.shaping import TlsFloor
from outbox.net.sites import SiteShaping
from outbox.reasons import NO_REASON, Reason
from outbox.smtp import PlainText, Security, Tlsa


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """How one server is connected to, and why."""

    exchanger: Exchanger
    security: Security
    plain_text: PlainText = PlainText.AFTER_FAILURE  # for opportunistic TLS only
    why: Reason = NO_REASON  # why this much is requested; empty for opportunistic TLS
    tls_names: tuple[str, ...] = ()  # for DANE; (): the host
    tlsa: tuple[Tlsa, ...] = ()  # for DANE
    # Why nothing is sent there, for example since an MTA-STS policy does not name the host. The
    # host is passed over; if no other one accepts the message, it is deferred with this reason.
    refused: Reason = NO_REASON

    @property
    def is_usable(self) -> bool:
        """Whether the server may be connected to."""
        return not self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySources:
    """What a decision may ask. One for each event loop."""

    conf: Conf
    resolver: DnsResolver
    port: int = 25  # of the servers, for TLSA records


async def policy_for(
    domain: str,
    exchangers: Exchangers,
    *,
    shaping: SiteShaping,
    sources: PolicySources,
    requires_tls: bool = False,
) -> tuple[HostPolicy, ...]:
    """Return the policy for each server of a domain, in the order in which they are tried.

    `requires_tls`: the message is sent with REQUIRETLS (RFC 8689). Never raises for what DNS or
    a web server does: what is unknown makes a host refused, or does not raise the protection.
    """
    del domain, sources
    floor = TlsFloor(shaping.tls_floor.value)
    if requires_tls and floor is TlsFloor.NONE:
        floor = TlsFloor.ENCRYPTED
    security, plain_text = _BY_FLOOR[floor]
    return tuple(
        HostPolicy(exchanger=one, security=security, plain_text=plain_text)
        for one in exchangers.hosts
    )


_BY_FLOOR = {
    TlsFloor.NONE: (Security.OPPORTUNISTIC, PlainText.AFTER_FAILURE),
    TlsFloor.ENCRYPTED: (Security.OPPORTUNISTIC, PlainText.NEVER),
    TlsFloor.VERIFIED: (Security.VERIFY, PlainText.NEVER),
}
