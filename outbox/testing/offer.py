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

_OFFERED_AS = {  # parameter of MAIL → the extension that brings it
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
}


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

    def mail_fault(self, sender: str, parameters: str, *, under_tls: bool) -> str:
        """Return the reply to a MAIL that asks for what is not offered; "" where all is well."""
        utf8, limit = False, self.size_limit(under_tls=under_tls)
        for parameter in parameters.split():
            name, _, value = parameter.upper().partition("=")
            keyword = _OFFERED_AS.get(name)
            if keyword is None or not self.has(keyword, under_tls=under_tls):
                return f"555 5.5.4 {name} is not offered"
            utf8 = utf8 or name == "SMTPUTF8"
            if name == "SIZE" and not value.isdigit():
                return "501 5.5.4 SIZE needs a number"
            if name == "SIZE" and int(value) > limit:
                return f"552 5.3.4 At most {limit} octets"
        if not sender.isascii() and not utf8:
            return "553 5.6.7 That address needs SMTPUTF8"
        return ""
