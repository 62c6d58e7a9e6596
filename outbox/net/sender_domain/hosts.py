"""The hosts of a domain: whether bounces can arrive, and what the sending addresses are called."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.finding import Finding, Level, Record, unknown_if_failed
from outbox.texts import Value, gettext_noop

_MX, _PTR, _HELO = "MX", "PTR", "HELO"


def check_exchangers(domain: str, dns: Dns) -> list[Finding]:
    """Return whether the domain can receive replies and bounces."""
    return unknown_if_failed(_MX, lambda: _check_exchangers(domain, dns))


def _check_exchangers(domain: str, dns: Dns) -> Iterator[Finding]:
    values: dict[str, Value] = {"domain": domain}
    hosts = [host for _, host in dns.exchangers(domain)]
    if hosts == [""]:
        template = gettext_noop(
            "%(domain)s receives no email (null MX, RFC 7505). Some servers reject its messages, "
            "since no bounce can return."
        )
        yield Finding(_MX, Level.ERROR, template, values)
        return
    if not hosts:
        yield _no_exchanger(domain, dns)
        return
    for host in hosts:
        if finding := _about_exchanger(host, dns):
            yield finding
    template = gettext_noop("%(domain)s receives email at %(hosts)s.")
    yield Finding(_MX, Level.OK, template, {**values, "hosts": ", ".join(hosts)})


def _no_exchanger(domain: str, dns: Dns) -> Finding:
    values: dict[str, Value] = {"domain": domain}
    if dns.addresses(domain):
        template = gettext_noop(
            "%(domain)s has no MX record. Servers deliver to its address instead (RFC 5321 5.1). "
            "Publish an MX record."
        )
        return Finding(_MX, Level.WARNING, template, values)
    template = gettext_noop(
        "%(domain)s has neither an MX record nor an address. Many servers reject its messages, "
        "since no bounce can return."
    )
    publish = Record(domain, "MX", f"10 mail.{domain}.")
    return Finding(_MX, Level.ERROR, template, values, publish)


def _about_exchanger(host: str, dns: Dns) -> Finding | None:
    """Return what is wrong with the host of an MX record."""
    values: dict[str, Value] = {"host": host}
    if _is_address(host):
        template = gettext_noop("The MX record names the address %(host)s instead of a host.")
        return Finding(_MX, Level.ERROR, template, values)
    if dns.is_alias(host):
        template = gettext_noop("%(host)s, which an MX record names, is a CNAME (RFC 5321 5.1).")
        return Finding(_MX, Level.WARNING, template, values)
    if not dns.addresses(host):
        template = gettext_noop("%(host)s, which an MX record names, has no address.")
        return Finding(_MX, Level.ERROR, template, values)
    return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_pointer(address: str, dns: Dns) -> list[Finding]:
    """Return whether a sending address has a name that leads back to it."""
    return unknown_if_failed(_PTR, lambda: _check_pointer(address, dns))


def _check_pointer(address: str, dns: Dns) -> Iterator[Finding]:
    names = dns.names_of(address)
    values: dict[str, Value] = {"address": address, "names": ", ".join(names)}
    if not names:
        template = gettext_noop(
            "%(address)s has no name. Large providers reject its messages. Ask the owner of the "
            "network for a PTR record with the name that the server sends in EHLO."
        )
        yield Finding(_PTR, Level.ERROR, template, values)
        return
    own = ipaddress.ip_address(address)
    if any(ipaddress.ip_address(one) == own for name in names for one in dns.addresses(name)):
        template = gettext_noop("%(address)s has the name %(names)s, which leads back to it.")
        yield Finding(_PTR, Level.OK, template, values)
        return
    template = gettext_noop(
        "%(address)s has the name %(names)s, which does not lead back to it. Publish an address "
        "record for that name."
    )
    kind = "A" if isinstance(own, ipaddress.IPv4Address) else "AAAA"
    publish = Record(names[0], kind, address)
    yield Finding(_PTR, Level.ERROR, template, values, publish)


def check_helo(name: str, addresses: Sequence[str], dns: Dns) -> list[Finding]:
    """Return whether the name in EHLO leads to a sending address, and is the name of each one."""
    return unknown_if_failed(_HELO, lambda: _check_helo(name, addresses, dns))


def _check_helo(name: str, addresses: Sequence[str], dns: Dns) -> Iterator[Finding]:
    if not name:
        template = gettext_noop(
            "No name for EHLO is configured: each worker sends the name of its host. Set "
            "EHLO_NAME to the name that the sending address has."
        )
        yield Finding(_HELO, Level.WARNING, template)
        return
    values: dict[str, Value] = {"name": name}
    if "." not in name or _is_address(name.strip("[]")):
        template = gettext_noop(
            "%(name)s, which the server sends in EHLO, is not the full name of a host."
        )
        yield Finding(_HELO, Level.ERROR, template, values)
        return
    found = {ipaddress.ip_address(one) for one in dns.addresses(name)}
    own = [ipaddress.ip_address(one) for one in addresses]
    if not found or (own and not found.intersection(own)):
        template = gettext_noop(
            "%(name)s, which the server sends in EHLO, does not lead to a sending address. "
            "Publish an address record."
        )
        kind = "A" if not own or own[0].version == 4 else "AAAA"  # noqa: PLR2004  # IPv4
        publish = Record(name, kind, addresses[0]) if addresses else None
        yield Finding(_HELO, Level.ERROR, template, values, publish)
        return
    for address in addresses:
        names = [one.lower() for one in dns.names_of(address)]
        if names and name.lower() not in names:
            template = gettext_noop(
                "%(address)s has the name %(names)s, but the server sends %(name)s in EHLO. Use "
                "one name for both."
            )
            given: dict[str, Value] = {"address": address, "names": ", ".join(names)}
            yield Finding(_HELO, Level.WARNING, template, values | given)
    template = gettext_noop("%(name)s, which the server sends in EHLO, leads to it.")
    yield Finding(_HELO, Level.OK, template, values)
