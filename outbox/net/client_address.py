"""The address of a client, also if trusted proxies report it."""

import ipaddress
from collections.abc import Sequence

from outbox.net.address import IPAddress

_IPV6_SITE = 64  # one subscriber has at least a /64 and may use any address in it


def client_address(peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """Return the IP address of the client, or an empty string if it is unknown.

    `peer` is the address that connected, empty on a Unix socket. X-Forwarded-For is read from
    the right, and only as far as trusted proxies wrote it: a client may send any beginning.
    `trusted` lists networks; `unix` stands for a Unix socket.
    """
    hops = [*forwarded_for.split(","), peer] if forwarded_for else [peer]
    address = ""
    for hop in reversed(hops):
        ip = _parsed(hop)
        address = str(ip) if ip is not None else ""
        if not _is_trusted(hop.strip(), ip, trusted):
            break
    return address


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    ip = _parsed(address)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, _IPV6_SITE), strict=False))
    return str(ip) if ip is not None else ""


def _parsed(text: str) -> IPAddress | None:
    try:
        ip = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _is_trusted(hop: str, ip: IPAddress | None, trusted: Sequence[str]) -> bool:
    if ip is None:
        return not hop and "unix" in trusted
    return any(ip in ipaddress.ip_network(one) for one in trusted if one != "unix")
