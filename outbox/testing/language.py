"""What differs between the protocols that a fault lab can misbehave in."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The stages and capabilities of a protocol, and its replies on the wire."""

    # Scenarios
    stages: type[StrEnum]  # with connect, greeting, tls and body
    counted: frozenset[str]  # stages that have a number
    addressed: frozenset[str] = frozenset()  # stages that have an address
    keywords: frozenset[str]  # announced capabilities
    rejectable: frozenset[str] = frozenset()  # keywords for “reject”
    capabilities: tuple[str, ...]  # announced by default
    starts_tls: str  # the keyword for TLS
    catalog: str  # folder of the scenarios that come with the package

    # Replies
    begins_reply: re.Pattern[str]
    closes: str  # how a reply begins after which the server closes; "" if none does
    unsolicited: str
    garbage: bytes
    endless: tuple[bytes, bytes]  # the beginning of a reply, and a line of it
    wire: Callable[[str], bytes]  # the bytes of a reply
    shown: Callable[[str], str]  # a reply as the ledger records it
    huge: Callable[[str], bytes]  # a reply with a line of a million octets
    wrong_class: Callable[[str], str]  # a reply of another class
