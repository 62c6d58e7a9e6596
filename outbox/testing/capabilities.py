"""What a server announces in EHLO or CAPA, before and under TLS, and the login it requires."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.testing.logins import TokenCheck

MAX_SIZE = 30 * 1024 * 1024
EXTENSIONS: tuple[str, ...] = (
    "PIPELINING",
    f"SIZE {MAX_SIZE}",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
)

_EXTENSION_OF = {  # parameter of MAIL → its extension
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "REQUIRETLS": "REQUIRETLS",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
}
_STARTS_TLS = frozenset({"STARTTLS", "STLS"})
_DSN_OF_RCPT = ("NOTIFY", "ORCPT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The capabilities of one server."""

    name: str = "mail.localhost"
    extensions: tuple[str, ...] = EXTENSIONS
    extensions_under_tls: tuple[str, ...] | None = None  # None: the same, without STARTTLS
    tls: ssl.SSLContext | None = None
    login: tuple[str, str] | None = None  # user and password; None accepts any
    tokens: TokenCheck | None = None  # it accepts only these, and no password
    login_required: bool = False
    rejected: Mapping[str, str] = field(
        default_factory=dict
    )  # announced keyword → reply to its use

    def lines(self, *, under_tls: bool) -> tuple[str, ...]:
        """Return the current EHLO lines, which TLS may change (RFC 3207 4.2)."""
        if not under_tls:
            return self.extensions
        if self.extensions_under_tls is not None:
            return self.extensions_under_tls
        return tuple(line for line in self.extensions if line.upper() not in _STARTS_TLS)

    def has(self, keyword: str, parameter: str = "", *, under_tls: bool) -> bool:
        """Return whether a keyword is announced (and, if given, with a parameter)."""
        for line in self.lines(under_tls=under_tls):
            words = line.upper().split()
            if words[0] == keyword:
                return not parameter or parameter in words[1:]
        return False

    def size_limit(self, *, under_tls: bool) -> int:
        """Return the maximum octets of a message, from SIZE if it has a value."""
        for line in self.lines(under_tls=under_tls):
            keyword, _, value = line.partition(" ")
            if keyword.upper() == "SIZE" and value.isdigit() and int(value):
                return int(value)
        return MAX_SIZE

    def mail_fault(self, sender: str, parameters: str, *, under_tls: bool) -> str:
        """Return the reply to an unsupported MAIL command; "" if it is supported."""
        utf8, limit = False, self.size_limit(under_tls=under_tls)
        for parameter in parameters.split():
            name, _, value = parameter.upper().partition("=")
            keyword = _EXTENSION_OF.get(name)
            if keyword and keyword in self.rejected:
                return self.rejected[keyword]
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

    def rcpt_fault(self, parameters: str, *, under_tls: bool) -> str:
        """Return the reply to an unsupported RCPT command; "" if it is supported."""
        for parameter in parameters.split():
            name = parameter.upper().partition("=")[0]
            if name in _DSN_OF_RCPT and "DSN" in self.rejected:
                return self.rejected["DSN"]
            if name not in _DSN_OF_RCPT or not self.has("DSN", under_tls=under_tls):
                return f"555 5.5.4 {name} is not offered"
        return ""
