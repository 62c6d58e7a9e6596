"""Server settings that a domain publishes over HTTPS, in Thunderbird's “autoconfig” format.

The file is untrusted. It is fetched over verified TLS, from public addresses only, within limits of
time and size and without redirects. A file with a document type is ignored. The request does not
contain the user's address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from xml.etree import ElementTree as ET

from outbox.conf import get_conf
from outbox.mail.addresses import Address
from outbox.models import Security
from outbox.net import is_public, request
from outbox.smtp.tls import tls_context
from outbox.web.accounts.hosts import suggested_host
from outbox.web.parameters import integer

_PATHS = (
    ("autoconfig.{}", "/mail/config-v1.1.xml"),
    ("{}", "/.well-known/autoconfig/mail/config-v1.1.xml"),
)
_MAX = 64_000  # bytes of the file that are read
_USERNAME_MAX = 255  # characters, as in the column
_SECURITY = {"SSL": Security.TLS, "STARTTLS": Security.STARTTLS}

AddressesOf = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A server for sending that a domain publishes."""

    host: str
    port: int
    security: Security
    username: str


def fetch(
    address: Address, domain: str, addresses_of: AddressesOf, *, seconds: float, port: int
) -> ServerSettings | None:
    """Return the settings that the domain publishes; None without usable ones.

    `addresses_of` returns a host's IP addresses. Its exceptions are passed on.
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
        if response.status == HTTPStatus.OK and (found := _parse(response.body, address)):
            return found
    return None


def _is_allowed(address: str) -> bool:
    return get_conf().allow_private_hosts or is_public(address)


def _parse(source: bytes, address: Address) -> ServerSettings | None:
    try:
        text = source.decode()
        if "<!DOCTYPE" in text.upper():
            return None  # its entities may expand without limit
        root = ET.fromstring(text)  # noqa: S314  # no document type, see above
    except (UnicodeDecodeError, ET.ParseError):
        return None
    servers = (_settings(server, address) for server in root.iter("outgoingServer"))
    return next((one for one in servers if one is not None), None)


def _settings(server: ET.Element, address: Address) -> ServerSettings | None:
    values = {child.tag: (child.text or "").strip() for child in server}
    security = _SECURITY.get(values.get("socketType", ""))
    port = integer(values.get("port", ""))
    if server.get("type") != "smtp" or security is None or port is None:
        return None
    host = suggested_host(values.get("hostname", ""), port)
    username = _username(values.get("username", ""), address)
    if host is None or len(username) > _USERNAME_MAX:
        return None
    return ServerSettings(host, port, security, username)


def _username(pattern: str, address: Address) -> str:
    variables = {
        "%EMAILADDRESS%": address.wire,
        "%EMAILLOCALPART%": address.local,
        "%EMAILDOMAIN%": address.domain,
    }
    for variable, value in variables.items():
        pattern = pattern.replace(variable, value)
    return pattern or address.wire
