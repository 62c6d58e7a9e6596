"""Whether other servers are reachable from here on port 25, and whether they block an address."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import dns.reversename
from dns.name import from_text

from outbox.net.dns_lookup import Dns
from outbox.net.sender_domain.finding import Finding, Level, unknown_if_failed
from outbox.texts import Value, cause_of, gettext_noop

_BLOCKLIST, _PORT_25 = "DNSBL", "PORT25"
_PORT = 25
_PORT_MAX = 65_535
_CONNECT_TIMEOUT = 10.0  # seconds
_LISTED = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782 2.1
_REFUSED = ipaddress.ip_network("127.255.255.0/24")  # Spamhaus: the query was not allowed


def check_blocklist(address: str, zone: str, dns: Dns) -> list[Finding]:
    """Return whether a blocklist has a sending address (RFC 5782)."""
    return unknown_if_failed(_BLOCKLIST, lambda: _check_blocklist(address, zone, dns))


def _check_blocklist(address: str, zone: str, lookup: Dns) -> Iterator[Finding]:
    origin = from_text(zone)
    name = dns.reversename.from_address(address, v4_origin=origin, v6_origin=origin)
    found = [ipaddress.ip_address(one) for one in lookup.addresses(str(name).rstrip("."))]
    values: dict[str, Value] = {"address": address, "zone": zone}
    if any(one in _REFUSED for one in found):
        template = gettext_noop(
            "The blocklist %(zone)s does not respond to this DNS server. Configure a DNS server "
            "of your own."
        )
        yield Finding(_BLOCKLIST, Level.UNKNOWN, template, values)
    elif any(one in _LISTED for one in found):
        texts = "; ".join(lookup.texts(str(name).rstrip(".")))[:200]
        template = gettext_noop(
            "%(address)s is on the blocklist %(zone)s. Find out why, then ask its operator for "
            "removal. %(text)s"
        )
        yield Finding(_BLOCKLIST, Level.ERROR, template, values | {"text": texts})
    else:
        template = gettext_noop("%(address)s is not on the blocklist %(zone)s.")
        yield Finding(_BLOCKLIST, Level.OK, template, values)


def check_port_25(server: str) -> list[Finding]:
    """Return whether a server, as "host" or "host:port", is reachable on port 25 from here."""
    host, port = server_address(server)
    values: dict[str, Value] = {"host": host}
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
    except socket.gaierror as error:
        template = gettext_noop("The DNS did not respond about %(name)s: %(cause)s")
        unknown: dict[str, Value] = {"name": host, "cause": cause_of(error)}
        return [Finding(_PORT_25, Level.UNKNOWN, template, unknown)]
    except OSError as error:
        template = gettext_noop(
            "Port 25 of %(host)s cannot be reached from here (%(cause)s). Many networks block it: "
            "ask the owner of the network, or send through a server on port 587."
        )
        return [Finding(_PORT_25, Level.ERROR, template, values | {"cause": cause_of(error)})]
    template = gettext_noop("Port 25 of %(host)s can be reached from here.")
    return [Finding(_PORT_25, Level.OK, template, values)]


def server_address(text: str) -> tuple[str, int]:
    """Return host and port. Raise ValueError if the text has neither form."""
    host, port = text.strip("[]"), str(_PORT)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        host.encode("idna")  # as the lookup of the host does
    except UnicodeError:
        port = ""
    if not port.isdigit() or not 0 < int(port) <= _PORT_MAX:
        raise ValueError(f"{text!r} is not a host, or a host and a port.")
    return host, int(port)
