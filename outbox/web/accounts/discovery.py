"""Find the server for an email address.

The sources, in this order: the table of known providers; the domain's SRV records (RFC 6186 3.1,
RFC 8314 5.1), implicit TLS first; the provider that its MX belongs to; the file that the domain
publishes. Nothing is guessed, and no server is suggested that the form of an account rejects. DNS
and HTTPS are used only as `OUTBOX["AUTOCONFIG"]` allows, for a few seconds at most, and for two
users of a process at a time: without a result the user fills in the form.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.resolver
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from outbox.conf import get_conf
from outbox.mail.addresses import Address
from outbox.models import Security
from outbox.net.providers import Login, Provider, by_exchanger, provider_of
from outbox.web.accounts import autoconfig
from outbox.web.accounts.hosts import suggested_host

TIMEOUT = 3.0  # seconds for all lookups together: a user waits for the page
AT_ONCE = 2  # lookups: slow ones must not keep all threads of the web server
_slots = threading.BoundedSemaphore(AT_ONCE)
_SERVICES = (("_submissions._tcp", Security.TLS), ("_submission._tcp", Security.STARTTLS))
_NOT_OFFERED = "."  # RFC 2782: the service is not available at this domain

HINTS: dict[Login, str | Promise] = {
    Login.PASSWORD: "",
    Login.APP_PASSWORD: gettext_lazy(
        "Your usual password does not work here. Create an app password in the security settings "
        "of %(provider)s and paste it below."
    ),
    Login.CODE: gettext_lazy(
        "Your usual password does not work here. Turn on SMTP in the webmail settings of "
        "%(provider)s and paste the authorization code below."
    ),
    Login.TOKEN: gettext_lazy(
        "%(provider)s no longer accepts passwords, only OAuth 2 access tokens, which are valid for "
        "about an hour. Ask your administrator whether passwords are allowed for your account."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Suggested settings of an account, and where they come from."""

    host: str
    port: int
    security: Security
    username: str
    provider: Provider | None = None  # None: the domain itself publishes them

    @property
    def hint(self) -> str:
        """Return what the user has to know about the password."""
        if self.provider is None:
            return ""
        return str(HINTS[self.provider.login]) % {"provider": self.provider_name}

    @property
    def provider_name(self) -> str:
        """Return the name of the provider in the user's language."""
        return gettext(self.provider.name) if self.provider else ""

    @property
    def wants_token(self) -> bool:
        """Return whether the login needs an OAuth 2 access token instead of a password."""
        return self.provider is not None and self.provider.login == Login.TOKEN


def suggest(address: Address, resolver: dns.resolver.Resolver | None = None) -> Suggestion | None:
    """Return the settings for the address; None without a source that knows them."""
    domain = address.wire.rpartition("@")[2]
    if provider := provider_of(domain):
        return _of_provider(provider, address)
    if domain.startswith("["):
        return None
    allowed = (get_conf().autoconfig or "").split()
    sources = [source for name, source in _SOURCES if name in allowed]
    if not _slots.acquire(blocking=False):
        return None
    try:
        lookup = Lookup(resolver or dns.resolver.Resolver(), time.monotonic() + TIMEOUT)
        found = (source(address, domain, lookup) for source in sources)
        return next((one for one in found if one is not None), None)
    except (dns.exception.DNSException, OSError):
        return None  # DNS is unavailable or too slow
    finally:
        _slots.release()


@dataclass(frozen=True, slots=True)
class Lookup:
    """DNS lookups with one timeout for all of them."""

    resolver: dns.resolver.Resolver
    ends_at: float

    @property
    def seconds_left(self) -> float:
        """Return the seconds left, never zero: that would mean no timeout."""
        return max(self.ends_at - time.monotonic(), 0.01)

    def records(self, name: str, kind: str) -> list[Any]:
        """Return the records of a name. Raises DNSException."""
        try:
            return list(self.resolver.resolve(f"{name}.", kind, lifetime=self.seconds_left))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []

    def addresses_of(self, host: str) -> list[str]:
        """Return the IP addresses of a host."""
        return [str(row.address) for kind in ("A", "AAAA") for row in self.records(host, kind)]


def _from_srv(address: Address, domain: str, lookup: Lookup) -> Suggestion | None:
    """Return the settings in the domain's SRV records."""
    for service, security in _SERVICES:
        rows = lookup.records(f"{service}.{domain}", "SRV")
        offered = [row for row in rows if str(row.target) != _NOT_OFFERED]
        for row in sorted(offered, key=lambda row: (row.priority, -row.weight)):
            if host := suggested_host(str(row.target), row.port):
                return Suggestion(
                    host=host, port=row.port, security=security, username=address.wire
                )
    return None


def _from_mx(address: Address, domain: str, lookup: Lookup) -> Suggestion | None:
    """Return the settings of the known provider that receives the domain's email."""
    for row in sorted(lookup.records(domain, "MX"), key=lambda row: row.preference):
        if provider := by_exchanger(str(row.exchange)):
            return _of_provider(provider, address)
    return None


def _from_autoconfig(address: Address, domain: str, lookup: Lookup) -> Suggestion | None:
    """Return the settings in the file that many domains publish for mail programs."""
    found = autoconfig.fetch(
        address, domain, lookup.addresses_of, seconds=lookup.seconds_left, port=HTTPS_PORT
    )
    if found is None:
        return None
    return Suggestion(
        host=found.host, port=found.port, security=found.security, username=found.username
    )


HTTPS_PORT = 443
_SOURCES = (("dns", _from_srv), ("dns", _from_mx), ("https", _from_autoconfig))


def _of_provider(provider: Provider, address: Address) -> Suggestion | None:
    if suggested_host(provider.host, provider.port) is None:
        return None
    return Suggestion(
        host=provider.host,
        port=provider.port,
        security=Security(provider.security),
        username=address.wire,
        provider=provider,
    )
