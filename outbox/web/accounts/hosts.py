"""Which servers a user may name; without a rule, Test connection would be a port scanner.

What a name resolves to is judged again by delivery, address by address, right before it connects;
here the plain cases get an answer at the field.
"""

import ipaddress
import re
import socket

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from outbox.net import is_public

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.IGNORECASE)
_INNER = ("localhost", "localdomain", "local", "internal", "lan", "home.arpa")
_HOST_MAX = 253


def clean_host(typed: str, *, allow_private: bool) -> str:
    """Return the host as it will be looked up. Raises ValidationError."""
    host = typed.strip().rstrip(".").removeprefix("[").removesuffix("]").lower()
    address = _address(host)
    if address is None:
        _check_name(host)
    if not allow_private and not _is_public(host, address):
        raise ValidationError(
            _("“%(host)s” is on this machine or in a private network; accounts may not reach it.")
            % {"host": host},
            code="private",
        )
    return str(address) if address else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address in every spelling that a resolver would take, such as 127.1 or 0x7f000001."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _check_name(host: str) -> None:
    try:
        wire = host.encode("idna").decode()
    except UnicodeError:
        wire = ""
    if not wire or len(wire) > _HOST_MAX or not all(map(_LABEL.match, wire.split("."))):
        raise ValidationError(_("“%(host)s” is no host name.") % {"host": host}, code="invalid")


def _is_public(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is None:
        return not any(host == inner or host.endswith(f".{inner}") for inner in _INNER)
    return is_public(str(address))
