"""Which servers an account may use; without a rule, “Test connection” would be a port scanner.

Delivery checks each address again right before it connects. Here the obvious cases get an error at
the field.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from outbox.conf import get_conf
from outbox.models import Account
from outbox.net import is_public

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.IGNORECASE)
_PRIVATE_DOMAINS = ("localhost", "localdomain", "local", "internal", "lan", "home.arpa")
_HOST_MAX = 253
_PORT_MAX = 65_535


def clean_host(typed: str, *, allow_private: bool) -> str:
    """Return the host in the form that is looked up. Raises ValidationError."""
    host = typed.strip().rstrip(".").removeprefix("[").removesuffix("]").lower()
    address = _address(host)
    if address is None:
        _check_name(host)
    if not allow_private and not _is_public(host, address):
        raise ValidationError(
            _("Enter a public server. “%(host)s” is on this machine or in a private network.")
            % {"host": host},
            code="private",
        )
    return str(address) if address else host


def suggested_host(host: str, port: int) -> str | None:
    """Return the host of a suggested server, None if the form of a new account would reject it."""
    if not 0 < port <= _PORT_MAX:
        return None
    try:
        check_port(port)
        return clean_host(host, allow_private=get_conf().allow_private_hosts)
    except ValidationError:
        return None


def check_port(
    port: int, stored: Account | None = None, *, allowed: Sequence[str] | None = None
) -> None:
    """Raise ValidationError for a port that no server for submission uses, unless it is stored.

    `allowed` replaces the ports of such servers.
    """
    conf = get_conf()
    allowed = conf.account_ports if allowed is None else allowed
    is_stored = stored is not None and not stored._state.adding and port == stored.port
    if is_stored or conf.allow_private_hosts or str(port) in allowed:
        return
    ports = pgettext("between entries", ", ").join(allowed)
    raise ValidationError(_("Enter one of these ports: %(ports)s.") % {"ports": ports})


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address in any form that resolvers accept, such as 127.1 or 0x7f000001."""
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
        raise ValidationError(
            _("Enter a valid server name. “%(host)s” is not one.") % {"host": host}, code="invalid"
        )


def _is_public(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is None:
        return not any(host == name or host.endswith(f".{name}") for name in _PRIVATE_DOMAINS)
    return is_public(str(address))
