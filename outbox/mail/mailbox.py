"""One email address as a value.

An `Address` that exists can be put on the wire: its parts hold no line break and keep to the
limits of RFC 5321 4.5.3.1. The limit of 64 octets for a local part is the receiving server's to
enforce: reply addresses of trackers exceed it. No server is asked whether the mailbox exists.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from outbox.mail.domains import to_a_labels

MAX_DOMAIN = 255
MAX_PATH = 256  # "<" and ">" included
_MAX_QUOTED = 60  # characters of an entry that an error shows

# What copying out of web pages and dialogs leaves between the characters and nobody sees.
INVISIBLE = r"\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
# Characters that Chinese and Japanese keyboards type in place of ASCII punctuation.
WIDE_MARKS = "，；、＜＞＠（）“”"
# Dots stand anywhere: some operators gave out "taro..suzuki" and ".taro" as local parts.
_BARE_LOCAL = re.compile(rf"[^\s\"(),:;<>@\[\\\]{INVISIBLE}{WIDE_MARKS}]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # "_" is no host name, but private ones have it
_HOST = re.compile(rf"(?=.{{1,{MAX_DOMAIN}}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN_NAME = re.compile(rf"[^\"(),.:;<>@\[\\\]{INVISIBLE}{WIDE_MARKS}]+")
_DOTS = (".", "\u3002", "\uff0e", "\uff61")  # RFC 3490 3.1


class AddressError(ValueError):
    """The text is not an email address; the message quotes the text and says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A display name (may be empty) and a mailbox, both as people read them, unquoted."""

    name: str
    local: str
    domain: str

    def __post_init__(self) -> None:
        if has_control(self.name + self.local):
            raise address_error(self.name + self.local, "has a control character in it")
        if not self.local:
            raise address_error(f"@{self.domain}", "has nothing before the @")
        _check_domain(self.spec, self.domain)
        if len(self.wire.encode()) > MAX_PATH - len("<>"):
            raise address_error(self.spec, f"has more than {MAX_PATH - len('<>')} bytes")

    @property
    def spec(self) -> str:
        """The addr-spec with the domain as people read it."""
        return f"{_local_form(self.local)}@{self.domain}"

    @property
    def wire(self) -> str:
        """The addr-spec with the domain in A-labels (RFC 5891), as the envelope carries it."""
        return f"{_local_form(self.local)}@{to_a_labels(self.domain)}"

    @property
    def key(self) -> str:
        """Equal for two spellings of one mailbox: only the domain folds (RFC 5321 2.4)."""
        return f"{_local_form(self.local)}@{to_a_labels(self.domain).lower()}"

    @property
    def needs_smtputf8(self) -> bool:
        """Only a local part outside ASCII does; a domain has its A-labels (RFC 6531 3.7)."""
        return not self.local.isascii()

    def __str__(self) -> str:
        """The form of a header (RFC 5322 3.4), Unicode kept; `parse_address` reads it back."""
        return f"{quote_name(self.name)} <{self.spec}>" if self.name else self.spec


def quote_name(name: str) -> str:
    """Put a display name in quotes where RFC 5322 3.2.5 or a reader of pasted lists needs them."""
    plain = _PLAIN_NAME.fullmatch(name) and "=?" not in name and name == " ".join(name.split())
    return name if plain else quote(name)


def quote(text: str) -> str:
    """Return the text as a quoted string (RFC 5322 3.2.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Keep the first address of each mailbox."""
    first: dict[str, Address] = {}
    for address in addresses:
        first.setdefault(address.key, address)
    return list(first.values())


def has_control(text: str) -> bool:
    """Return whether the text has a character that no header may carry."""
    return _CONTROL.search(text) is not None


def address_error(text: str, problem: str) -> AddressError:
    """Return an error that quotes the start of the text, with its unprintable characters named."""
    start = text[:_MAX_QUOTED]
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in start)
    return AddressError(f"“{shown}{'…' if start != text else ''}” {problem}")


def _local_form(local: str) -> str:
    return local if _BARE_LOCAL.fullmatch(local) else quote(local)


def _check_domain(spec: str, domain: str) -> None:
    if not domain:
        raise address_error(spec, "has no domain")
    if domain.startswith("["):
        if not _is_literal(domain):
            raise address_error(spec, "has no valid IP address in its brackets")
        return
    if len(domain) > MAX_DOMAIN:  # A-labels are longer still, and cost time to find
        raise address_error(spec, f"has a domain of more than {MAX_DOMAIN} bytes")
    if domain.endswith(_DOTS):
        raise address_error(spec, "has a dot at its end")
    try:
        wire = to_a_labels(domain)
    except UnicodeError:
        wire = ""
    if not _HOST.fullmatch(wire):
        raise address_error(spec, "has no valid domain")


def _is_literal(domain: str) -> bool:
    """Return whether it is one of the two forms of RFC 5321 4.1.3 that are in use."""
    inner = domain.removeprefix("[").removesuffix("]")
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return domain == f"[{inner}]" and "%" not in inner
