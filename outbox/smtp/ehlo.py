"""The client's name in EHLO: a fully qualified domain or an address literal (RFC 5321 4.1.1.1)."""

import ipaddress
import re

import idna

_NAME_MAX = 253  # characters, which make 255 octets in the DNS
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Two labels at least; a last one of digits would make it an address.
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}", re.IGNORECASE)
# An administrator may choose a name without a dot, or one with an underscore.
_CHOSEN = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[a-z0-9.:-]+\]", re.IGNORECASE)


def chosen_name(name: str) -> str:
    """Return the name of a setting as EHLO can contain it, or "" if that is impossible."""
    name = name.strip().removesuffix(".")
    try:
        name = name if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
        return address_literal(name)
    except UnicodeError:
        return ""
    except ValueError:
        return name if len(name) <= _NAME_MAX and _CHOSEN.fullmatch(name) else ""


def is_domain(name: str) -> bool:
    """Return whether what this machine is called is a fully qualified domain name."""
    is_local = name.lower().startswith("localhost")
    return len(name) <= _NAME_MAX and not is_local and bool(_DOMAIN.fullmatch(name))


def address_literal(address: str) -> str:
    """Return an IP address as EHLO contains it (RFC 5321 4.1.3). Raises ValueError."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return f"[{parsed}]"
    return f"[{parsed.ipv4_mapped}]" if parsed.ipv4_mapped else f"[IPv6:{parsed}]"
