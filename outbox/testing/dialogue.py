"""The parts of an SMTP dialogue as the receiving side sees them: stage, transaction, reply."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)


class Stage(StrEnum):
    """The point of the dialogue that a reply belongs to."""

    CONNECT = "connect"  # before a byte was said
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
    """One MAIL … dot, as the server saw it."""

    sender: str
    parameters: str = ""
    recipients: list[str] = field(default_factory=list)  # those we said yes to
    refused: dict[str, str] = field(default_factory=dict)  # address → our reply
    tried: int = 0
    chunks: int = 0  # BDAT commands
    source: bytes = b""  # un-stuffed, byte for byte
    dot: bool = False  # the dot or the last chunk arrived
    reply: str = ""  # the answer to the dot by which the server acts
    said: str = ""  # the answer that was let out; "" where none was, or not yet

    @property
    def message_id(self) -> str:
        """Return the Message-ID as it stands in the header, or ""."""
        end = self.source.find(b"\r\n\r\n")
        found = _MESSAGE_ID.search(self.source, 0, end if end >= 0 else len(self.source))
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def accepted(self) -> bool:
        """Tell whether the server took charge of the message."""
        return self.dot and self.reply.startswith("2")


def shown(text: str) -> str:
    """Escape what a terminal would act upon or hide; who wrote the text does not own our screen."""
    return "".join(
        char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in text
    )


def wire(reply: str) -> bytes:
    r"""Write a reply as it travels; "250 a\nb" becomes two lines (RFC 5321 4.2.1)."""
    if "\n" not in reply:
        return f"{reply}\r\n".encode("utf-8", "surrogateescape")
    code, lines = reply[:3], reply[4:].split("\n")
    head = "".join(f"{code}-{line}\r\n" for line in lines[:-1])
    return f"{head}{code} {lines[-1]}\r\n".encode("utf-8", "surrogateescape")
