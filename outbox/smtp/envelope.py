"""Envelope sender and recipients, and how they are written on the wire (RFC 5321 4.1.2)."""

import re
from dataclasses import dataclass

from outbox.mail.domains import to_a_labels

PATH_MAX = 256  # octets with the brackets (RFC 5321 4.5.3.1.3)
ENVID_MAX = 33  # characters: encoded to 100 at most, which is the limit (RFC 3461 4.4)

# A mailbox: no white space, brackets or control characters outside a quoted local part, so that
# no address can carry a second command or parameter. A bare name, such as "root", is for the
# server that is asked: it knows its users, or refuses.
_MAILBOX = re.compile(
    r"""(?:[^\x00-\x20\x7f<>()\[\],:;@\\"]+|"(?:[^\x00-\x1f\x7f"\\]|\\[^\x00-\x1f\x7f])*")
        @(?:[^\x00-\x20\x7f<>()\[\],:;@\\"]+|\[[^\x00-\x20\x7f<>\[\]@\\"]+\])
        |[^\x00-\x20\x7f-\U0010ffff<>()\[\],:;@\\"]+""",
    re.VERBOSE,
)


class UnsendableError(Exception):
    """This cannot be sent here; the text begins with an enhanced status code (RFC 3463)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    sender: str  # "" is the null sender
    recipients: tuple[str, ...]
    envid: str = ""  # our mark, which reports on this mail repeat where the server offers DSN
    notify: tuple[str, ...] = ()  # of SUCCESS, FAILURE, DELAY; or NEVER alone; (): as it pleases

    def __post_init__(self) -> None:
        if not (self.envid.isascii() and len(self.envid) <= ENVID_MAX):
            raise ValueError(f"an envid is ASCII and no longer than {ENVID_MAX} characters")
        if len(self.notify) > 1 and "NEVER" in self.notify:
            raise ValueError("NOTIFY=NEVER stands alone (RFC 3461 4.1)")

    @property
    def wants_dsn(self) -> bool:
        return bool(self.envid or self.notify)


def needs_smtputf8(address: str) -> bool:
    """Tell whether only SMTPUTF8 can carry it: a local part outside ASCII (RFC 6531 3.2)."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


def path(address: str, *, as_is: bool, status: str = "5.1.3") -> bytes:
    """Give the address in angle brackets; the domain in A-labels unless `as_is` (SMTPUTF8)."""
    if not _MAILBOX.fullmatch(address):
        raise UnsendableError(f"{status} “{_shown(address)}” is not an address SMTP can carry")
    if not address.isascii() and not as_is:
        local, _, domain = address.rpartition("@")
        address = f"{local}@{_a_labels(domain)}"
    octets = b"<" + address.encode() + b">"
    if len(octets) > PATH_MAX:
        raise UnsendableError(
            f"{status} “{_shown(address)}…” is longer than the {PATH_MAX} octets of an SMTP path"
        )
    return octets


def folded(address: str) -> str:
    """Equal for two spellings of one mailbox: only the domain's case folds (RFC 5321 2.4)."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else address


def _a_labels(domain: str) -> str:
    try:
        return to_a_labels(domain)
    except UnicodeError:
        raise UnsendableError(f"5.1.2 “{_shown(domain)}” is not a domain name") from None


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:100])
