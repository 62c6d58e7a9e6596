"""What a domain publishes about its mail server over HTTPS, in Thunderbird's “autoconfig” format.

The file is a stranger's: it comes over verified TLS, from public addresses only, within a time and
a size, without redirects, and a document type makes it void. The person's address is not told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from xml.etree import ElementTree as ET

from django.core.exceptions import ValidationError

from outbox.conf import get_conf
from outbox.mail.addresses import Address
from outbox.models import Security
from outbox.net import is_public, request
from outbox.smtp.tls import tls_context
from outbox.web.accounts.hosts import clean_host

_PATHS = (
    ("autoconfig.{}", "/mail/config-v1.1.xml"),
    ("{}", "/.well-known/autoconfig/mail/config-v1.1.xml"),
)
_MAX = 64_000  # bytes of the file that are read
_SECURITY = {"SSL": Security.TLS, "STARTTLS": Security.STARTTLS}

AddressesOf = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Offer:
    """One server a domain offers for sending."""

    host: str
    port: int
    security: Security
    username: str


def published(
    address: Address, domain: str, addresses_of: AddressesOf, *, seconds: float, port: int
) -> Offer | None:
    """Fetch and read what the domain publishes; None when that is nothing usable.

    `addresses_of` gives a host's IP addresses; what it raises, this raises.
    """
    ends_at = time.monotonic() + seconds
    for pattern, path in _PATHS:
        host = pattern.format(domain)
        try:
            response = request(
                "GET",
                f"https://{host}:{port}{path}",
                seconds=ends_at - time.monotonic(),
                is_allowed=_is_allowed,
                resolve=addresses_of,
                body_max=_MAX,
                context=tls_context(get_conf().ca_file or None),
            )
        except (OSError, HTTPException):
            continue  # no server, no valid certificate, not HTTP, or too slow
        if response.status == HTTPStatus.OK and (offer := _read(response.body, address)):
            return offer
    return None


def _is_allowed(address: str) -> bool:
    return get_conf().allow_private_hosts or is_public(address)


def _read(source: bytes, address: Address) -> Offer | None:
    try:
        text = source.decode()
        if "<!DOCTYPE" in text.upper():
            return None  # it may hold entities without end
        root = ET.fromstring(text)  # noqa: S314  # no document type, see above
    except (UnicodeDecodeError, ET.ParseError):
        return None
    offers = (_offer(server, address) for server in root.iter("outgoingServer"))
    return next((offer for offer in offers if offer is not None), None)


def _offer(server: ET.Element, address: Address) -> Offer | None:
    said = {child.tag: (child.text or "").strip() for child in server}
    security = _SECURITY.get(said.get("socketType", ""))
    port = said.get("port", "")
    if server.get("type") != "smtp" or security is None or not port.isascii() or not port.isdigit():
        return None
    try:
        host = clean_host(said.get("hostname", ""), allow_private=get_conf().allow_private_hosts)
    except ValidationError:
        return None
    return Offer(host, int(port), security, _username(said.get("username", ""), address))


def _username(pattern: str, address: Address) -> str:
    places = {
        "%EMAILADDRESS%": address.wire,
        "%EMAILLOCALPART%": address.local,
        "%EMAILDOMAIN%": address.domain,
    }
    for place, value in places.items():
        pattern = pattern.replace(place, value)
    return pattern or address.wire
