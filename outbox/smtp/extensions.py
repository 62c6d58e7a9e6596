"""What a server offers in its reply to EHLO (RFC 5321 4.1.1.1), keywords and parameters.

Unknown keywords are kept and otherwise ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.smtp.reply import Reply

_NUMBER = re.compile(r"[0-9]{1,20}(?![0-9])")


@dataclass(frozen=True, slots=True)
class Extensions:
    """The offers of the last EHLO; the common ones read once, for the hot path."""

    offered: Mapping[str, str] = field(default_factory=dict)  # keyword in capitals → parameters
    pipelining: bool = False  # RFC 2920
    chunking: bool = False  # RFC 3030
    eight_bit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    dsn: bool = False  # RFC 3461
    size: bool = False  # RFC 1870
    size_limit: int = 0  # bytes; 0 when the server names none
    recipients_limit: int = 0  # RFC 9422, as are the next two; 0: no limit named
    mails_limit: int = 0
    domains_limit: int = 0

    @classmethod
    def of(cls, reply: Reply) -> "Extensions":
        """Read an accepted reply to EHLO; its first line is a greeting."""
        offered: dict[str, str] = {}
        for line in reply.text.split("\n")[1:]:
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
            size_limit=_number(offered.get("SIZE", "")),
            recipients_limit=limits.get("RCPTMAX", 0),
            mails_limit=limits.get("MAILMAX", 0),
            domains_limit=limits.get("RCPTDOMAINMAX", 0),
        )

    @property
    def starttls(self) -> bool:
        return "STARTTLS" in self.offered

    @property
    def auth(self) -> frozenset[str]:
        """The login mechanisms, in capitals."""
        return frozenset(self.offered.get("AUTH", "").upper().split())


def _offer(offered: dict[str, str], line: str) -> None:
    keyword, _, parameters = line.strip().partition(" ")
    keyword = keyword.upper()
    # "AUTH=LOGIN PLAIN" is how servers older than RFC 2554 write it; some still send both.
    if keyword.startswith("AUTH="):
        keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
    if keyword:
        offered[keyword] = f"{offered.get(keyword, '')} {parameters}".strip()


def _limits(parameters: str) -> dict[str, int]:
    pairs = (item.partition("=") for item in parameters.upper().split())
    return {name: _number(value) for name, _, value in pairs}


def _number(text: str) -> int:
    found = _NUMBER.match(text)
    return int(found[0]) if found else 0
