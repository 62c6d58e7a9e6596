"""Envelope sender and recipients, and how commands write them (RFC 5321 4.1.2)."""

import re
from dataclasses import dataclass
from functools import cache

from outbox.mail.mailbox import to_a_labels
from outbox.mail.xtext import xtext
from outbox.reasons import Reason, ReasonCode

PATH_MAX = 256  # octets with the brackets (RFC 5321 4.5.3.1.3)
ENVID_MAX = 100  # characters as xtext (RFC 3461 4.4)


class UnsendableError(Exception):
    """This cannot be sent here. The sentence begins with an enhanced status code (RFC 3463)."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    sender: str  # "" is the null sender
    recipients: tuple[str, ...]
    sender_instead: str = ""  # where the server rejects the null sender; "": none
    envid: str = ""  # our id, which notifications repeat if the server supports DSN
    notify: tuple[str, ...] = ()  # of SUCCESS, FAILURE, DELAY; or NEVER alone; (): any
    ret: str = ""  # FULL or HDRS, what a notification returns; "": HDRS if there are others
    is_sensitive: bool = False  # nothing of the message may be recorded
    requires_tls: bool = False  # only over verified TLS, on all further ways, too (RFC 8689)

    def __post_init__(self) -> None:
        if not is_envid(self.envid):
            raise ValueError(f"an envid is ASCII and no longer than {ENVID_MAX} characters")
        if self.ret not in {"", "FULL", "HDRS"}:
            raise ValueError("RET is FULL or HDRS (RFC 3461 4.3)")
        if len(self.notify) > 1 and "NEVER" in self.notify:
            raise ValueError("NOTIFY=NEVER excludes other values (RFC 3461 4.1)")

    @property
    def wants_dsn(self) -> bool:
        return bool(self.envid or self.notify or self.ret)


def is_envid(text: str) -> bool:
    """Return whether ENVID can have this value: printable ASCII, and not too long as xtext."""
    return text.isascii() and (not text or text.isprintable()) and len(xtext(text)) <= ENVID_MAX


def needs_smtputf8(address: str) -> bool:
    """Return whether the address needs SMTPUTF8: a local part outside ASCII (RFC 6531 3.2)."""
    return not address.isascii() and not address.rpartition("@")[0].isascii()


@cache
def _mailbox_pattern() -> re.Pattern[str]:
    """Return the pattern of a mailbox, which takes milliseconds to compile: queueing imports this.

    It allows no white space, brackets or control characters outside a quoted local part, so that no
    address can contain a second command or parameter. A bare name, such as "root", is resolved or
    rejected by the server.
    """
    return re.compile(
        r"""(?:[^\x00-\x20\x7f-\xa0\u2028\u2029<>()\[\],:;@\\"]+
            |"(?:[^\x00-\x1f\x7f-\x9f\u2028\u2029<>"\\]
                |\\[^\x00-\x1f\x7f-\x9f\u2028\u2029<>])*")
            @(?:[^\x00-\x20\x7f-\xa0\u2028\u2029<>()\[\],:;@\\"]+
                |\[[^\x00-\x20\x7f<>\[\]@\\"]+\])
            |[^\x00-\x20\x7f-\U0010ffff<>()\[\],:;@\\"]+""",
        re.VERBOSE,
    )


def path(address: str, *, as_is: bool, status: str = "5.1.3") -> bytes:
    """Return the address in angle brackets; the domain in A-labels unless `as_is` (SMTPUTF8)."""
    if not _mailbox_pattern().fullmatch(address):
        reason = Reason(ReasonCode.PATH_INVALID, status=status, address=_shown(address))
        raise UnsendableError(reason)
    if not address.isascii() and not as_is:
        local, _, domain = address.rpartition("@")
        address = f"{local}@{_a_labels(domain)}"
    octets = b"<" + address.encode() + b">"
    if len(octets) > PATH_MAX:
        shown = _shown(address)
        reason = Reason(ReasonCode.PATH_TOO_LONG, status=status, address=shown, count=PATH_MAX)
        raise UnsendableError(reason)
    return octets


def _a_labels(domain: str) -> str:
    try:
        return to_a_labels(domain)
    except UnicodeError:
        raise UnsendableError(Reason(ReasonCode.DOMAIN_INVALID, domain=_shown(domain))) from None


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:100])
