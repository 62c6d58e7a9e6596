"""The parts of an SMTP dialogue as a server sees them: stage, transaction, reply."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.testing.capabilities import EXTENSIONS
from outbox.testing.language import Language

HUGE = 1_000_000  # octets
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)


class Stage(StrEnum):
    """The stage of the dialogue that a reply belongs to."""

    CONNECT = "connect"  # before the first byte
    GREETING = "greeting"
    EHLO = "ehlo"  # counted per connection: 2 is the one under TLS
    HELO = "helo"
    STARTTLS = "starttls"
    TLS = "tls"  # the handshake, after the 220 of STARTTLS
    AUTH = "auth"  # counted per line of the client in one exchange
    MAIL = "mail"
    RCPT = "rcpt"  # counted per transaction; 0 outside of one
    DATA = "data"
    BODY = "body"  # the index is the number of octets that arrived
    DOT = "dot"
    BDAT = "bdat"  # counted per transaction; 0 outside of one
    RSET = "rset"
    NOOP = "noop"
    QUIT = "quit"
    IDLE = "idle"  # after the reply to the dot or the last chunk
    OTHER = "other"  # any other command


@dataclass(slots=True)
class Transaction:
    """One SMTP transaction as the server saw it."""

    sender: str
    parameters: str = ""
    recipients: list[str] = field(default_factory=list)  # the accepted ones
    refused: dict[str, str] = field(default_factory=dict)  # address → reply
    tried: int = 0
    chunks: int = 0  # BDAT commands
    source: bytes = b""  # without dot-stuffing, byte for byte
    dot: bool = False  # the dot or the last chunk arrived
    reply: str = ""  # to the final dot, which the server obeys
    reply_sent: str = ""  # the reply that the client got; "" if none yet

    @property
    def message_id(self) -> str:
        """The Message-ID in the header, or ""."""
        end = self.source.find(b"\r\n\r\n")
        found = _MESSAGE_ID.search(self.source, 0, end if end >= 0 else len(self.source))
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def accepted(self) -> bool:
        """Whether the server accepted the message."""
        return self.dot and self.reply.startswith("2")


def shown(text: str) -> str:
    """Return the text with every character escaped that a terminal would interpret or hide."""
    return "".join(
        char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in text
    )


def wire(reply: str) -> bytes:
    r"""Return the bytes of a reply; "250 a\nb" becomes two lines (RFC 5321 4.2.1)."""
    if "\n" not in reply:
        return f"{reply}\r\n".encode("utf-8", "surrogateescape")
    code, lines = reply[:3], reply[4:].split("\n")
    head = "".join(f"{code}-{line}\r\n" for line in lines[:-1])
    return f"{head}{code} {lines[-1]}\r\n".encode("utf-8", "surrogateescape")


def _readable(reply: str) -> str:
    return wire(reply).decode("utf-8", "backslashreplace").rstrip("\r\n")


def _huge(reply: str) -> bytes:
    return wire(reply + "x" * HUGE)


def _wrong_class(reply: str) -> str:
    return "250 2.0.0 Ok" if reply.startswith("3") else "354 Go ahead"


SMTP = Language(
    stages=Stage,
    counted=frozenset({Stage.EHLO, Stage.AUTH, Stage.RCPT, Stage.BODY, Stage.BDAT}),
    addressed=frozenset({Stage.MAIL, Stage.RCPT}),
    keywords=frozenset(
        {
            *("8BITMIME", "AUTH", "BINARYMIME", "CHUNKING", "DELIVERBY", "DSN"),
            *("ENHANCEDSTATUSCODES", "ETRN", "HELP", "LIMITS", "MT-PRIORITY", "PIPELINING"),
            *("REQUIRETLS", "SIZE", "SMTPUTF8", "STARTTLS", "VRFY"),
        }
    ),
    rejectable=frozenset({"8BITMIME", "CHUNKING", "DSN", "SIZE", "SMTPUTF8"}),
    capabilities=EXTENSIONS,
    starts_tls="STARTTLS",
    catalog="scenarios",
    begins_reply=re.compile(r"[2-5]\d\d(?:[ -]|$)"),
    closes="421",  # RFC 5321 3.8
    unsolicited="250 2.0.0 Unsolicited",
    garbage=b"\x00\xff\xfe?!\x1b[31m this is not SMTP \x9b\r\n",
    endless=(b"", b"250-and another line\r\n"),
    wire=wire,
    shown=_readable,
    huge=_huge,
    wrong_class=_wrong_class,
)
