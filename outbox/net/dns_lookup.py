"""DNS lookups of one check, with one time limit for all of them.

A name that does not exist and a DNS server that does not respond are different results: the first
is an empty list, the second an exception.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Sequence
from typing import Any

import dns.exception
import dns.nameserver
import dns.resolver
import dns.reversename

_PORT, _PORT_MAX = 53, 65_535
# C0, DEL, C1, bidirectional controls and line separators: findings quote these texts.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class LookupFailedError(Exception):
    """Nothing is known about the name: the DNS failed or did not respond in time."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"{name}: {cause}")
        self.name = name
        self.cause = cause


class Dns:
    """Looks names up. Without servers, those of the system are asked."""

    def __init__(self, servers: Sequence[str] = (), *, seconds: float = 30.0) -> None:
        """Accept servers as "address" or "address:port". Raise ValueError for anything else."""
        self._resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = [server_of(one) for one in servers]
        self._ends_at = time.monotonic() + seconds

    def texts(self, name: str) -> list[str]:
        """Return the TXT records of a name, the strings of each joined. U+FFFD is for controls."""
        rows = self._records(name, "TXT")
        texts = [b"".join(row.strings).decode("utf-8", "replace") for row in rows]
        return [_UNSAFE.sub("\ufffd", text) for text in texts]

    def addresses(self, host: str) -> list[str]:
        """Return the IP addresses of a host."""
        return [str(row.address) for kind in ("A", "AAAA") for row in self._records(host, kind)]

    def reachable_addresses(self, host: str) -> list[str]:
        """Return the addresses to connect to: those of one family if the other's lookup failed.

        An IP address is its own address.
        """
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        found: list[str] = []
        failed: LookupFailedError | None = None
        for kind in ("A", "AAAA"):
            try:
                found += [str(row.address) for row in self._records(host, kind)]
            except LookupFailedError as error:
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    def exchangers(self, domain: str) -> list[tuple[int, str]]:
        """Return preference and host of each MX record, the first choice first."""
        rows = self._records(domain, "MX")
        return sorted((int(row.preference), str(row.exchange).rstrip(".")) for row in rows)

    def names_of(self, address: str) -> list[str]:
        """Return the names of an IP address."""
        name = str(dns.reversename.from_address(address)).rstrip(".")
        return [str(row.target).rstrip(".") for row in self._records(name, "PTR")]

    def is_alias(self, host: str) -> bool:
        """Return whether a host is a CNAME."""
        return bool(self._records(host, "CNAME"))

    def _records(self, name: str, kind: str) -> list[Any]:
        seconds = max(self._ends_at - time.monotonic(), 0.01)  # zero would mean no limit
        try:
            return list(self._resolver.resolve(f"{name}.", kind, lifetime=seconds))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailedError(name, str(error)) from error


def server_of(text: str) -> dns.nameserver.Nameserver:
    """Return a DNS server from "address" or "address:port". Raise ValueError."""
    address, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    if port and not (port.isdigit() and 0 < int(port) <= _PORT_MAX):
        raise ValueError(f"{text!r} is not the address of a DNS server.")
    return dns.nameserver.Do53Nameserver(
        str(ipaddress.ip_address(address)), int(port) if port else _PORT
    )
