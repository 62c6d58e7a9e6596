"""From an address to the server that carries its mail, as far as somebody says so.

Asked in this order: the table of known providers; the domain's SRV records (RFC 6186 3.1, RFC 8314
5.1), those for TLS from the first byte first; which provider its MX belongs to. Nothing is guessed
and nothing is connected to. The DNS is asked only while `OUTBOX["AUTOCONFIG"]` is on, and for a
few seconds at most: without an answer the person fills in the form, as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.resolver

from outbox.conf import get_conf
from outbox.mail.addresses import Address
from outbox.models import Security
from outbox.web.accounts.providers import HINTS, Provider, Wants, by_domain, by_exchanger

PATIENCE = 3.0  # seconds for all questions together: a person waits for the page
_SERVICES = (("_submissions._tcp", Security.TLS), ("_submission._tcp", Security.STARTTLS))
_NOT_OFFERED = "."  # RFC 2782: the service is decidedly not available at this domain

Ask = Callable[[str, str], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """How an account would reach its server, and whose word that is."""

    host: str
    port: int
    security: Security
    username: str
    provider: Provider | None = None  # None: the domain's own DNS says so

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
    username, domain = address.wire, address.wire.rpartition("@")[2]
    if provider := by_domain(domain):
        return _at(provider, username)
    if domain.startswith("[") or not get_conf().autoconfig:
        return None
    try:
        ask = _asking(resolver or dns.resolver.Resolver())
        return _announced(domain, username, ask) or _hosted(domain, username, ask)
    except (dns.exception.DNSException, OSError):
        return None  # no DNS here, or it is too slow


def _asking(resolver: dns.resolver.Resolver) -> Ask:
    """Return a way to ask that runs out of patience once, not once per question."""
    ends_at = time.monotonic() + PATIENCE

    def ask(name: str, kind: str) -> list[Any]:
        left = max(ends_at - time.monotonic(), 0.01)
        try:
            return list(resolver.resolve(f"{name}.", kind, lifetime=left))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    return ask


def _announced(domain: str, username: str, ask: Ask) -> Suggestion | None:
    for service, security in _SERVICES:
        offers = [
            row for row in ask(f"{service}.{domain}", "SRV") if str(row.target) != _NOT_OFFERED
        ]
        if offers:
            best = min(offers, key=lambda row: (row.priority, -row.weight))
            return Suggestion(
                host=str(best.target).rstrip(".").lower(),
                port=best.port,
                security=security,
                username=username,
            )
    return None


def _hosted(domain: str, username: str, ask: Ask) -> Suggestion | None:
    """Know a domain of one's own that lives at a known provider by where its mail comes in."""
    for row in sorted(ask(domain, "MX"), key=lambda row: row.preference):
        if provider := by_exchanger(str(row.exchange)):
            return _at(provider, username)
    return None


def _at(provider: Provider, username: str) -> Suggestion:
    return Suggestion(
        host=provider.host,
        port=provider.port,
        security=provider.security,
        username=username,
        provider=provider,
    )
