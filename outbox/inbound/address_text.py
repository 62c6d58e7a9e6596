"""Email addresses in texts and in the fields of reports.

The texts may come from attackers: searching takes linear time, and invalid addresses are left out.
"""

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from outbox.texts import storable

MAX_ADDRESS = 320  # characters: 64 before the "@", 255 after it (RFC 5321 4.5.3.1)
_ATOM = r"\w!#$%&'*+/=?^`{|}~.-"
_ADDRESS = re.compile(
    rf'(?:(?<![{_ATOM}])[{_ATOM}]++|"(?:[^"\\\s]|\\.){{1,64}}+")@(?:[\w-]++(?:\.[\w-]++)*+|\[[\d.]{{7,15}}\])'
)
_BEFORE = "'`*=.?&/~{|}!^$%#"  # quotes and marks before an address
_TYPE = re.compile(r"\s*+([A-Za-z0-9-]{1,40}+)\s*+;\s*+")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_COMMENT = re.compile(r"\([^()]*+\)")


class Found(NamedTuple):
    """An address and its place in a text."""

    address: str
    start: int
    end: int


def find_addresses(text: str) -> Iterator[Found]:
    """Yield the addresses in a text."""
    if "@" not in text:
        return
    for match in _ADDRESS.finditer(text):
        address = match[0].lstrip(_BEFORE) if match[0][0] != '"' else match[0]
        if address[:5].lower() == "smtp=":  # X.400: "dda:SMTP=user@example.com"
            address = address[5:]
        if is_plausible(address):
            yield Found(address, match.end() - len(address), match.end())


def first_address(text: str) -> str:
    """Return the first address in a text, or ""."""
    return next((found.address for found in find_addresses(text)), "")


def is_plausible(address: str) -> bool:
    """Return whether a text can be an email address with a domain."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or len(address) > MAX_ADDRESS:
        return False
    if domain.startswith("["):
        return True
    return (
        not domain.startswith("-")
        and not domain.endswith("-")
        and ("." in domain or domain.lower() == "localhost" or domain.isalnum())
        and not domain.rpartition(".")[2].isdigit()
    )


def report_address(value: str) -> str:
    """Return the address in a field such as Final-Recipient, or "" if it is not one of email.

    The value is "type; address" (RFC 3464 2.1.2). Some reports have only the address, or brackets
    and a name around it. Addresses may be encoded (RFC 3461 4, RFC 6533 3).
    """
    match = _TYPE.match(value)
    kind = match[1].lower() if match else ""
    rest = value[match.end() :] if match else value
    rest = rest.strip()
    if kind in {"x400", "x.400", "x500", "unknown", "local"} and "@" not in rest:
        return ""
    if kind == "utf-8":
        rest = _UNICODE.sub(_character, rest)
    bare = rest.strip("<> \t;")
    if is_plausible(bare) and not any(char in bare for char in ' \t<>()",;:'):
        return _from_xtext(bare)
    return _from_xtext(first_address(_COMMENT.sub("", rest)) or first_address(rest))


def _from_xtext(address: str) -> str:
    """Decode "+3D" to "=", but not a "+" that is part of the address."""
    if "+" not in address:
        return address
    decoded = _XTEXT.sub(_byte, address)
    return decoded if is_plausible(decoded) and " " not in decoded else address


def _byte(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in "+=" else match[0]  # xtext encodes nothing else that addresses have


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return storable(chr(number)) if ord(" ") < number <= sys.maxunicode else "\ufffd"


def same_address(one: str, other: str) -> bool:
    """Return whether two addresses are the same, whatever their case."""
    return one.casefold() == other.casefold()
