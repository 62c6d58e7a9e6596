"""One email address as a value.

Every `Address` can be sent over SMTP: its parts contain no line break and respect the limits of
RFC 5321 4.5.3.1. The limit of 64 octets for a local part is left to the receiving server, because
reply addresses of issue trackers exceed it. Whether the mailbox exists is not checked.
"""

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from outbox.exceptions import TranslatableError
from outbox.texts import Value, gettext_noop

MAX_DOMAIN = 255
MAX_PATH = 256  # "<" and ">" included
_MAX_QUOTED = 60  # characters of an entry that an error shows

# Invisible characters in text that was copied from web pages and dialogs.
INVISIBLE = r"\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
# Characters that Chinese and Japanese keyboards type in place of ASCII punctuation.
WIDE_MARKS = "，；、＜＞＠（）“”"
# Dots are allowed anywhere: some operators assigned "taro..suzuki" and ".taro" as local parts.
_BARE_LOCAL = re.compile(rf"[^\s\"(),:;<>@\[\\\]{INVISIBLE}{WIDE_MARKS}]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # private host names contain "_"
_HOST = re.compile(rf"(?=.{{1,{MAX_DOMAIN}}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Legal in quotes, but a server that does not read quotes would see the end of the address and a
# parameter of the command. The others end a line, or are invisible.
_UNSAFE_LOCAL = re.compile(rf"[<>\u2028\u2029{INVISIBLE}]")
_PLAIN_NAME = re.compile(rf"[^\"(),.:;<>@\[\\\]{INVISIBLE}{WIDE_MARKS}]+")
_DOTS = (".", "\u3002", "\uff0e", "\uff61")  # RFC 3490 3.1
_DOT = re.compile("[.\u3002\uff0e\uff61]")

# What nearly every address looks like, with none of the characters that need a closer look.
_USUAL = re.compile(r"[A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9]{1,63}\.){1,3}[A-Za-z]{2,63}")
_USUAL_MAX = 200


class AddressError(TranslatableError, ValueError):
    """The text is not an email address; the message quotes the text and says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A display name (may be empty) and a mailbox, both unquoted, with the domain in Unicode."""

    name: str
    local: str
    domain: str

    def __post_init__(self) -> None:
        if has_control(self.name + self.local) or "\ufffd" in self.local:
            raise address_error(
                self.name + self.local, gettext_noop("“%(text)s” has a control character in it")
            )
        if _is_unsafe(self.local):
            raise address_error(
                self.spec,
                gettext_noop("“%(text)s” has characters before the @ that servers may misread"),
            )
        if not self.local:
            raise address_error(
                f"@{self.domain}", gettext_noop("“%(text)s” has nothing before the @")
            )
        _check_domain(self.spec, self.domain)
        if len(self.wire.encode()) > MAX_PATH - len("<>"):
            raise address_error(
                self.spec,
                gettext_noop("“%(text)s” has more than %(count)s bytes"),
                count=MAX_PATH - len("<>"),
            )

    @property
    def spec(self) -> str:
        """The addr-spec with the domain in Unicode."""
        return f"{_local_form(self.local)}@{self.domain}"

    @property
    def wire(self) -> str:
        """The addr-spec with the domain in A-labels (RFC 5891), as in the envelope."""
        return f"{_local_form(self.local)}@{to_a_labels(self.domain)}"

    @property
    def key(self) -> str:
        """A key that is equal for two spellings of one mailbox.

        Only the domain is case-insensitive (RFC 5321 2.4).
        """
        return mailbox_key(self.spec)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the local part is outside ASCII; a domain has A-labels (RFC 6531 3.7)."""
        return not self.local.isascii()

    def __str__(self) -> str:
        """The form of a header (RFC 5322 3.4), Unicode kept; `parse_address` reads it back."""
        return f"{quote_name(self.name)} <{self.spec}>" if self.name else self.spec


def quote_name(name: str) -> str:
    """Return a display name, quoted if RFC 5322 3.2.5 or the parser of pasted lists needs it."""
    plain = _PLAIN_NAME.fullmatch(name) and "=?" not in name and name == " ".join(name.split())
    return name if plain else quote(name)


def quote(text: str) -> str:
    """Return the text as a quoted string (RFC 5322 3.2.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def is_usual(address: str) -> bool:
    """Return whether a text is an addr-spec that needs no parser; most others are valid as well."""
    return len(address) <= _USUAL_MAX and _USUAL.fullmatch(address) is not None


def mailbox_key(address: str) -> str:
    """Return a text that is equal for two spellings of one mailbox.

    Only the domain is compared without regard to case, and in A-labels (RFC 5321 2.4). This is the
    only rule for one mailbox; a search for an address ignores the case of all of it.
    """
    local, at, domain = address.rpartition("@")
    if not domain.isascii():
        with suppress(UnicodeError):  # what is not a domain name is compared as it is
            domain = to_a_labels(domain)
    return f"{local}{at}{domain.lower()}" if at else address


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Return the first address of each mailbox."""
    first: dict[str, Address] = {}
    for address in addresses:
        first.setdefault(address.key, address)
    return list(first.values())


def has_control(text: str) -> bool:
    """Return whether the text has a character that headers must not contain."""
    return _CONTROL.search(text) is not None


def address_error(text: str, template: str, **values: Value) -> AddressError:
    """Return an error that quotes the start of the text, with unprintable characters escaped."""
    start = text[:_MAX_QUOTED]
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in start)
    quoted = f"{shown}{'…' if start != text else ''}"
    return AddressError(template, text=quoted, **values)


def _is_unsafe(local: str) -> bool:
    has_parameter = " " in local and "=" in local  # such as SIZE=1
    return has_parameter or _UNSAFE_LOCAL.search(local) is not None


def _local_form(local: str) -> str:
    return local if _BARE_LOCAL.fullmatch(local) else quote(local)


def _check_domain(spec: str, domain: str) -> None:
    if not domain:
        raise address_error(spec, gettext_noop("“%(text)s” has no domain"))
    if domain.startswith("["):
        if not _is_literal(domain):
            raise address_error(
                spec, gettext_noop("“%(text)s” has no valid IP address in its brackets")
            )
        return
    if len(domain) > MAX_DOMAIN:  # A-labels are even longer, and expensive to compute
        raise address_error(
            spec,
            gettext_noop("“%(text)s” has a domain of more than %(count)s bytes"),
            count=MAX_DOMAIN,
        )
    if domain.endswith(_DOTS):
        raise address_error(spec, gettext_noop("“%(text)s” has a dot at its end"))
    try:
        wire = to_a_labels(domain)
    except UnicodeError:
        wire = ""
    if not _HOST.fullmatch(wire):
        raise address_error(spec, gettext_noop("“%(text)s” has no valid domain"))


def _is_literal(domain: str) -> bool:
    """Return whether a domain is an address literal for IPv4 or IPv6 (RFC 5321 4.1.3)."""
    inner = domain.removeprefix("[").removesuffix("]")
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return domain == f"[{inner}]" and "%" not in inner


def domain_of(address: str) -> str:
    """Return the domain of an email address in lower case, or its address literal."""
    return address.rpartition("@")[2].lower()


def to_a_labels(domain: str) -> str:
    """Return the domain in A-labels (RFC 5891). Raise UnicodeError if it has none.

    A label that IDNA 2008 forbids, such as a heart, may still be registered: it is converted as
    IDNA 2003 does, which is also how Django converts it.
    """
    if domain.isascii():
        return domain
    import idna  # few domains need it

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:  # a UnicodeError
        labels = _DOT.split(domain)
        if not all(labels):
            raise
        return ".".join(map(_to_a_label, labels))


def _to_a_label(label: str) -> str:
    if label.isascii():
        return label
    import idna

    try:
        return idna.encode(label, uts46=True).decode("ascii")
    except idna.IDNAError:
        return label.encode("idna").decode("ascii")
