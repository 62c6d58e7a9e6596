"""What a POP3 server announces: the response to CAPA (RFC 2449 5 and 6)."""

from collections.abc import Iterable
from dataclasses import dataclass

from outbox.pop3.responses import safe


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities that the client uses. A server without CAPA has those of RFC 1939."""

    is_known: bool = False  # whether the server has CAPA
    stls: bool = False
    user: bool = True
    uidl: bool = True
    top: bool = True
    pipelining: bool = False
    utf8: bool = False
    sasl: frozenset[str] = frozenset()
    expire: str = ""  # days, NEVER or 0
    login_delay: int = 0
    implementation: str = ""


def read_capabilities(lines: Iterable[bytes]) -> Capabilities:
    """Return the capabilities in the lines of a response; unknown ones are ignored."""
    found: dict[str, list[str]] = {}
    for line in lines:
        name, *parameters = safe(line).split() or [""]
        found.setdefault(name.upper(), []).extend(parameters)
    delay = found.get("LOGIN-DELAY", ["0"])[:1] or ["0"]
    return Capabilities(
        is_known=True,
        stls="STLS" in found,
        user="USER" in found,
        uidl="UIDL" in found,
        top="TOP" in found,
        pipelining="PIPELINING" in found,
        utf8="UTF8" in found,
        sasl=frozenset(name.upper() for name in found.get("SASL", [])),
        expire=" ".join(found.get("EXPIRE", []))[:40],
        login_delay=int(delay[0]) if delay[0].isdecimal() and len(delay[0]) < _DIGITS else 0,
        implementation=" ".join(found.get("IMPLEMENTATION", []))[:200],
    )


_DIGITS = 10
