"""Check what other servers see of a domain that messages are sent from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import idna
from django.db.models import Q

from outbox.api.signing_keys import list_signing_keys
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address
from outbox.mail.dkim_keys import KeyNameError, clean_domain
from outbox.models import Account, KeyState, SigningKey
from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain import (
    Finding,
    Level,
    Published,
    check_alignment,
    check_blocklist,
    check_dmarc,
    check_exchangers,
    check_helo,
    check_key,
    check_pointer,
    check_port_25,
    check_spf,
    server_address,
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


def check_domain(
    domain: str,
    addresses: Sequence[str] = (),
    *,
    port_25_server: str = "",
    is_sent_from_here: bool = True,
) -> DomainReport:
    """Check SPF, DKIM, DMARC, alignment and MX of a domain, and each sending address.

    Without addresses and server, those of the settings are checked, unless other servers send for
    the domain. The DNS has at most 30 seconds. The connection to port 25 comes on top, with 10
    seconds for each address of that server, and as long as the system looks its name up.
    Raise KeyNameError if the domain is not a valid name, and ValueError if an address is not an IP
    address, or a server of the settings not a server.
    """
    name, conf = clean_domain(domain), get_conf()
    server = port_25_server
    if is_sent_from_here:
        addresses = addresses or conf.sending_addresses
        server = server or conf.port_25_server
    sending = [str(ipaddress.ip_address(one)) for one in addresses]
    server_address(server)
    return DomainReport(name, list(_findings(name, sending, server, Dns(conf.dns_servers))))


def domain_of(address: str) -> str:
    """Return the domain of an address in A-labels, or "" if it has none."""
    try:
        return clean_domain(parse_address(address).domain)
    except (AddressError, KeyNameError):
        return ""


def _findings(
    domain: str, addresses: Sequence[str], port_25_server: str, dns: Dns
) -> Iterator[Finding]:
    conf = get_conf()
    yield from check_spf(domain, addresses, dns)
    keys = list_signing_keys(domain)
    for key in keys:
        yield from check_key(_published(key), dns)
    is_signed = any(key.state == KeyState.ACTIVE for key in keys)
    if not is_signed:
        template = gettext_noop(
            "No DKIM key of %(domain)s is active here: the outbox does not sign its messages."
        )
        yield Finding("DKIM", Level.WARNING, template, {"domain": domain})
    yield from check_dmarc(domain, dns)
    yield from check_alignment(domain, envelope_domains(domain), dns, is_signed=is_signed)
    yield from check_exchangers(domain, dns)
    for address in addresses:
        yield from check_pointer(address, dns)
    if addresses and (conf.ehlo_name or conf.sending_addresses):
        yield from check_helo(conf.ehlo_name, addresses, dns)
    for zone in conf.blocklists:
        for address in addresses:
            yield from check_blocklist(address, zone, dns)
    if port_25_server:
        yield from check_port_25(port_25_server)


def sends_for(domain: str) -> Q:
    """Return the condition on accounts to have a sender address of a domain."""
    condition = Q(from_address__iendswith=f"@{domain}")
    try:  # as typed, the address may have U-labels (RFC 5890)
        return condition | Q(from_address__iendswith=f"@{idna.decode(domain)}")
    except idna.IDNAError:
        return condition


def envelope_domains(domain: str, condition: Q | None = None) -> list[str]:
    """Return the domains of the envelope senders of the accounts that send for a domain.

    The condition limits the accounts.
    """
    rows_of = Account.objects.using(get_conf().database).filter(sends_for(domain), is_active=True)
    accounts = rows_of.filter(condition or Q()).order_by()
    rows = accounts.values_list("from_address", "return_path").distinct()
    own = {path or address for address, path in rows if domain_of(address) == domain}
    return sorted({domain_of(address) for address in own} - {""})


def _published(key: SigningKey) -> Published:
    return Published(
        name=key.record_name,
        text=key.record_text,
        is_active=key.state == KeyState.ACTIVE,
        is_retired=key.state == KeyState.RETIRED,
    )
