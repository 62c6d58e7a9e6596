"""What a server says it can do: its EHLO lines, before and under TLS, and whom it lets in."""

import ssl
from dataclasses import dataclass

MAX_SIZE = 30 * 1024 * 1024
EXTENSIONS: tuple[str, ...] = (
    "PIPELINING",
    f"SIZE {MAX_SIZE}",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The terms of one server."""

    name: str = "mail.localhost"
    extensions: tuple[str, ...] = EXTENSIONS
    extensions_under_tls: tuple[str, ...] | None = None  # None: the same, without STARTTLS
    tls: ssl.SSLContext | None = None
    login: tuple[str, str] | None = None  # user and password; None takes anyone's
    login_required: bool = False

    def lines(self, *, under_tls: bool) -> tuple[str, ...]:
        """Return the EHLO lines in force, which TLS may change (RFC 3207 4.2)."""
        if not under_tls:
            return self.extensions
        if self.extensions_under_tls is not None:
            return self.extensions_under_tls
        return tuple(line for line in self.extensions if line.upper() != "STARTTLS")

    def has(self, keyword: str, parameter: str = "", *, under_tls: bool) -> bool:
        """Tell whether a keyword is listed (and, if given, that parameter of it)."""
        for line in self.lines(under_tls=under_tls):
            words = line.upper().split()
            if words[0] == keyword:
                return not parameter or parameter in words[1:]
        return False

    def size_limit(self, *, under_tls: bool) -> int:
        """Return the octets a message may have: what SIZE says, where it says something."""
        for line in self.lines(under_tls=under_tls):
            keyword, _, value = line.partition(" ")
            if keyword.upper() == "SIZE" and value.isdigit() and int(value):
                return int(value)
        return MAX_SIZE
