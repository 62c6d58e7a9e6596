"""Check what the DNS says about a domain that messages are sent from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outbox.api.signing_keys import list_signing_keys
from outbox.conf import get_conf
from outbox.mail.dkim_keys import clean_domain
from outbox.models import KeyState, SigningKey
from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain import (
    Finding,
    Level,
    Published,
    check_dmarc,
    check_exchangers,
    check_key,
    check_pointer,
    check_spf,
)
from outbox.texts import gettext_noop

_WORST_FIRST = (Level.ERROR, Level.UNKNOWN, Level.WARNING, Level.OK)


@dataclass(frozen=True, slots=True)
class DomainReport:
    """What was found about a domain."""

    domain: str  # in A-labels
    findings: list[Finding]

    @property
    def level(self) -> Level:
        """The worst level of the findings."""
        levels = {finding.level for finding in self.findings}
        return next(level for level in _WORST_FIRST if level in levels)


def check_domain(domain: str, addresses: Sequence[str] = ()) -> DomainReport:
    """Check SPF, DKIM, DMARC and MX of a domain, and the PTR of each sending address.

    It takes at most 30 seconds. Raise KeyNameError if the domain is not a valid name, and
    ValueError if an address is not an IP address, or a server of the settings not a DNS server.
    """
    name = clean_domain(domain)
    sending = [str(ipaddress.ip_address(one)) for one in addresses]
    return DomainReport(name, list(_findings(name, sending, Dns(get_conf().dns_servers))))


def _findings(domain: str, addresses: Sequence[str], dns: Dns) -> Iterator[Finding]:
    yield from check_spf(domain, addresses, dns)
    keys = list_signing_keys(domain)
    for key in keys:
        yield from check_key(_published(key), dns)
    if not any(key.state == KeyState.ACTIVE for key in keys):
        template = gettext_noop(
            "No DKIM key of %(domain)s is active here: the outbox does not sign its messages."
        )
        yield Finding("DKIM", Level.WARNING, template, {"domain": domain})
    yield from check_dmarc(domain, dns)
    yield from check_exchangers(domain, dns)
    for address in addresses:
        yield from check_pointer(address, dns)


def _published(key: SigningKey) -> Published:
    return Published(
        name=key.record_name,
        text=key.record_text,
        is_active=key.state == KeyState.ACTIVE,
        is_retired=key.state == KeyState.RETIRED,
    )
