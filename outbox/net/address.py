"""Which network addresses may be contacted when a user names the host.

SMTP, the connection test, autoconfig and webhooks all ask `is_public`, so that a name that resolves
to an address inside the site's own network is refused in the same way everywhere.
"""

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not global by the IANA registries or by a cloud provider's use. Python's own `is_global` differs
# between versions for some of them.
_DENIED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # shared address space, RFC 6598
        "168.63.129.16/32",  # Azure's platform services
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is Oracle Cloud's metadata service
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "240.0.0.0/4",  # reserved, RFC 1112
        "::/96",  # IPv4-compatible, RFC 4291 2.5.5.1
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b:1::/48",  # local-use NAT64, RFC 8215
        "100::/64",  # discard-only, RFC 6666
        "2001::/32",  # Teredo, RFC 4380
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing, RFC 9602
        "fec0::/10",  # site-local, RFC 3879
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to a host on the public internet.

    An IPv6 address that stands for an IPv4 address, mapped or translated by NAT64, is judged by
    that IPv4 address. Raises ValueError when `address` is not an IP address.
    """
    ip = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _DENIED)


def _unwrap(ip: IPAddress) -> IPAddress:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip
