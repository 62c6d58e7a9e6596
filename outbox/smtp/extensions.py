"""The extensions that a server announces in its reply to EHLO (RFC 5321 4.1.1.1).

Unknown keywords are recorded and otherwise ignored. Lines that deviate from the RFC are read as
their authors meant them. A limit that is not a number is ignored: the server judges the message.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from outbox.smtp.reply import Reply

# "SIZE 1000", and what servers write instead: "SIZE=1000", "SIZE: 1000", "size\t1000".
_LINE = re.compile(r"\s*([^\s=:]+)[\s=:]*(.*)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,20}")
_KEPT = 500  # characters of a keyword, and of its parameters
_KEYWORDS_KEPT = 100  # of a reply, besides those that are used here
_USED = frozenset(
    {
        "PIPELINING",
        "CHUNKING",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "SIZE",
        "LIMITS",
        "REQUIRETLS",
        "STARTTLS",
        "AUTH",
    }
)
# What every server has to accept (RFC 5321 4.5.5), and some reject.
NULL_SENDER = "NULL SENDER"
_MECHANISM = re.compile(r"[A-Z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a server announces or permits and then rejects, so that it is avoided there."""

    rejected: frozenset[str] = frozenset()  # EHLO keywords, and NULL_SENDER
    rcpt_max: int = 0  # recipients that it accepted before too many; 0: not known

    def __bool__(self) -> bool:
        return bool(self.rejected or self.rcpt_max)

    def __or__(self, other: "Restrictions") -> "Restrictions":
        return Restrictions(self.rejected | other.rejected, _lower(self.rcpt_max, other.rcpt_max))


@dataclass(frozen=True, slots=True)
class Extensions:
    """The keywords of the last EHLO reply; frequent ones are parsed once, for the hot path."""

    offered: Mapping[str, str] = field(default_factory=dict)  # keyword in capitals → parameters
    pipelining: bool = False  # RFC 2920
    chunking: bool = False  # RFC 3030
    eight_bit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    dsn: bool = False  # RFC 3461
    size: bool = False  # RFC 1870
    requires_tls: bool = False  # RFC 8689
    null_sender: bool = True  # MAIL FROM:<>
    size_limit: int = 0  # bytes; 0: no limit announced
    rcpt_max: int = 0  # RFC 9422, as are the next two; 0: no limit announced
    mail_max: int = 0
    rcpt_domain_max: int = 0

    @classmethod
    def of(cls, reply: Reply) -> "Extensions":
        """Parse a positive reply to EHLO; its first line is a greeting."""
        offered: dict[str, str] = {}
        for line in reply.full_text.split("\n")[1:]:
            _offer(offered, line)
        limits = _limits(offered.get("LIMITS", ""))
        return cls(
            offered=offered,
            pipelining="PIPELINING" in offered,
            chunking="CHUNKING" in offered,
            eight_bit="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            dsn="DSN" in offered,
            size="SIZE" in offered,
            requires_tls="REQUIRETLS" in offered,
            size_limit=_size_limit(offered.get("SIZE", "")),
            rcpt_max=limits.get("RCPTMAX", 0),
            mail_max=limits.get("MAILMAX", 0),
            rcpt_domain_max=limits.get("RCPTDOMAINMAX", 0),
        )

    def without(self, restrictions: Restrictions) -> "Extensions":
        """Return the extensions that are used under these restrictions."""
        if not restrictions:
            return self
        rejected = restrictions.rejected
        return replace(
            self,
            pipelining=self.pipelining and "PIPELINING" not in rejected,
            chunking=self.chunking and "CHUNKING" not in rejected,
            eight_bit=self.eight_bit and "8BITMIME" not in rejected,
            smtputf8=self.smtputf8 and "SMTPUTF8" not in rejected,
            dsn=self.dsn and "DSN" not in rejected,
            size=self.size and "SIZE" not in rejected,
            null_sender=self.null_sender and NULL_SENDER not in rejected,
            rcpt_max=_lower(self.rcpt_max, restrictions.rcpt_max),
        )

    @property
    def starttls(self) -> bool:
        return "STARTTLS" in self.offered

    @property
    def auth(self) -> frozenset[str]:
        """The login mechanisms, in capitals."""
        return frozenset(_MECHANISM.findall(self.offered.get("AUTH", "").upper()))


def _lower(first: int, second: int) -> int:
    """Return the lower of two limits, where 0 is none."""
    return min(filter(None, (first, second)), default=0)


def _offer(offered: dict[str, str], line: str) -> None:
    found = _LINE.match(line)
    if found is not None:
        keyword, parameters = found[1].upper()[:_KEPT], found[2].strip()[:_KEPT]
        if keyword not in _USED and len(offered) >= _KEYWORDS_KEPT:
            return
        # A keyword may come twice, as in "AUTH PLAIN" and "AUTH=LOGIN".
        offered[keyword] = f"{offered.get(keyword, '')} {parameters}".strip()[:_KEPT]


def _size_limit(parameters: str) -> int:
    """Return the largest limit of several: the server rejects what exceeds a smaller one."""
    limits = [_number(value) for value in parameters.split()]
    return max(limits) if all(limits) and limits else 0


def _limits(parameters: str) -> dict[str, int]:
    pairs = (item.partition("=") for item in parameters.upper().split())
    return {name: _number(value) for name, _, value in pairs}


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0
