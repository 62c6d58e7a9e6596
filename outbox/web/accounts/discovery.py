"""From an address to the server that carries its mail, as far as somebody says so.

Asked in this order: the table of known providers; the domain's SRV records (RFC 6186 3.1, RFC 8314
5.1), those for TLS from the first byte first; which provider its MX belongs to. Nothing is guessed
and nothing is connected to. The DNS is asked only while `OUTBOX["AUTOCONFIG"]` is on, and for a
few seconds at most: without an answer the person fills in the form, as ever.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.resolver

from outbox.conf import get_conf
from outbox.mail.addresses import Address
from outbox.models import Security
from outbox.web.accounts import autoconfig
from outbox.web.accounts.providers import HINTS, Provider, Wants, by_domain, by_exchanger

PATIENCE = 3.0  # seconds for all questions together: a person waits for the page
_SERVICES = (("_submissions._tcp", Security.TLS), ("_submission._tcp", Security.STARTTLS))
_NOT_OFFERED = "."  # RFC 2782: the service is decidedly not available at this domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """How an account would reach its server, and whose word that is."""

    host: str
    port: int
    security: Security
    username: str
    provider: Provider | None = None  # None: the domain itself says so

    @property
    def hint(self) -> str:
        """What has to be known about the password."""
        if self.provider is None:
            return ""
        return str(HINTS[self.provider.wants]) % {"provider": self.provider.name}

    @property
    def wants_token(self) -> bool:
        """Tell whether the login takes an OAuth 2 access token instead of a password."""
        return self.provider is not None and self.provider.wants == Wants.TOKEN


def suggest(address: Address, resolver: dns.resolver.Resolver | None = None) -> Suggestion | None:
    """Return what is known of the address's server; None when nobody says anything."""
    domain = address.wire.rpartition("@")[2]
    if provider := by_domain(domain):
        return _at(provider, address)
    if domain.startswith("["):
        return None
    allowed = get_conf().autoconfig
    ways = [way for name, way in _WAYS if name in (allowed or "").split()]
    try:
        inquiry = Inquiry(resolver or dns.resolver.Resolver(), time.monotonic() + PATIENCE)
        found = (way(address, domain, inquiry) for way in ways)
        return next((one for one in found if one is not None), None)
    except (dns.exception.DNSException, OSError):
        return None  # no DNS here, or it is too slow


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Questions that run out of patience once, not once each."""

    resolver: dns.resolver.Resolver
    ends_at: float

    @property
    def seconds_left(self) -> float:
        """Never none at all, since that would mean: for ever."""
        return max(self.ends_at - time.monotonic(), 0.01)

    def ask(self, name: str, kind: str) -> list[Any]:
        """Return the records of a name. Raises DNSException."""
        try:
            return list(self.resolver.resolve(f"{name}.", kind, lifetime=self.seconds_left))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    def addresses_of(self, host: str) -> list[str]:
        """Return the IP addresses of a host."""
        return [str(row.address) for kind in ("A", "AAAA") for row in self.ask(host, kind)]


def _announced(address: Address, domain: str, inquiry: Inquiry) -> Suggestion | None:
    """Read the domain's own SRV records."""
    for service, security in _SERVICES:
        rows = inquiry.ask(f"{service}.{domain}", "SRV")
        offers = [row for row in rows if str(row.target) != _NOT_OFFERED]
        if offers:
            best = min(offers, key=lambda row: (row.priority, -row.weight))
            return Suggestion(
                host=str(best.target).rstrip(".").lower(),
                port=best.port,
                security=security,
                username=address.wire,
            )
    return None


def _hosted(address: Address, domain: str, inquiry: Inquiry) -> Suggestion | None:
    """Know a domain of one's own that lives at a known provider by where its mail comes in."""
    for row in sorted(inquiry.ask(domain, "MX"), key=lambda row: row.preference):
        if provider := by_exchanger(str(row.exchange)):
            return _at(provider, address)
    return None


def _published(address: Address, domain: str, inquiry: Inquiry) -> Suggestion | None:
    """Read the file that many domains keep for mail programs."""
    offer = autoconfig.published(
        address, domain, inquiry.addresses_of, seconds=inquiry.seconds_left, port=HTTPS_PORT
    )
    if offer is None:
        return None
    return Suggestion(
        host=offer.host, port=offer.port, security=offer.security, username=offer.username
    )


HTTPS_PORT = 443
_WAYS = (("dns", _announced), ("dns", _hosted), ("https", _published))


def _at(provider: Provider, address: Address) -> Suggestion:
    return Suggestion(
        host=provider.host,
        port=provider.port,
        security=provider.security,
        username=address.wire,
        provider=provider,
    )
