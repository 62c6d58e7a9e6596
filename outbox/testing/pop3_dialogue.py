"""The parts of a POP3 dialogue as a server sees them: stages, responses, the mailbox."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from outbox.testing.dialogue import HUGE
from outbox.testing.language import Language

_LONE = re.compile(r"(?<!\r)\n")
_NO_LINES = 2  # line ends of a response without further lines


class Pop3Stage(StrEnum):
    """The stage of the dialogue that a response belongs to."""

    CONNECT = "connect"  # before the first byte
    GREETING = "greeting"
    CAPA = "capa"  # counted per connection
    STLS = "stls"
    TLS = "tls"  # the handshake, after the response to STLS
    USER = "user"
    PASS = "pass"  # noqa: S105  # a command
    APOP = "apop"
    AUTH = "auth"  # counted per line of the client in one exchange
    UTF8 = "utf8"
    STAT = "stat"
    LIST = "list"  # of all messages
    SIZE = "size"  # LIST with the number of a message
    UIDL = "uidl"  # of all messages
    UID = "uid"  # UIDL with the number of a message
    RETR = "retr"  # the number is that of the message
    TOP = "top"  # the number is that of the message
    BODY = "body"  # the index is the number of octets of a message that were sent
    DELE = "dele"  # the number is that of the message
    NOOP = "noop"
    RSET = "rset"
    QUIT = "quit"
    OTHER = "other"  # any other command


@dataclass(slots=True)
class Pop3Mailbox:
    """The messages of a mailbox by their unique ids, in the order of the server."""

    messages: dict[str, bytes] = field(default_factory=dict)
    owner: object = None  # the connection that has it at present

    @classmethod
    def of(cls, *sources: bytes) -> "Pop3Mailbox":
        """Return a mailbox with these messages."""
        return cls({f"uid-{number:05}": source for number, source in enumerate(sources, start=1)})


SAMPLES = tuple(
    f"From: ann@example.com\r\nSubject: Message {number}\r\n\r\n{'A line.' * 100}\r\n".encode()
    for number in range(1, 4)
)


def wire(reply: str) -> bytes:
    r"""Return the bytes of a response; "+OK\nlines\n." is one with further lines."""
    return _LONE.sub("\r\n", f"{reply}\n").encode("utf-8", "surrogateescape")


def message_response(source: bytes, lines: int | None = None) -> str:
    """Return the response with a message, or with its header and some lines of its body."""
    text = _LONE.sub("\r\n", source.decode("utf-8", "surrogateescape")).removesuffix("\r\n")
    if lines is not None:
        header, _, body = text.partition("\r\n\r\n")
        text = "\r\n".join([header, "", *body.split("\r\n")[:lines]])
    stuffed = re.sub(r"^\.", "..", text, flags=re.MULTILINE)
    return f"+OK {len(source)} octets\r\n{stuffed}\r\n."


def shown(reply: str) -> str:
    """Return a response without its further lines."""
    status, _, rest = reply.partition("\n")
    return f"{status.rstrip()} <{len(wire(rest)) - _NO_LINES:,} octets>" if rest else status


def _huge(reply: str) -> bytes:
    status, line_end, rest = reply.partition("\n")
    return wire(f"{status.rstrip()}{'x' * HUGE}{line_end}{rest}")


def _wrong_class(reply: str) -> str:
    return "+OK" if reply.startswith("+ ") else "+ Z28gb24="


POP3 = Language(
    stages=Pop3Stage,
    counted=frozenset(
        {
            *(Pop3Stage.CAPA, Pop3Stage.AUTH, Pop3Stage.SIZE, Pop3Stage.UID, Pop3Stage.RETR),
            *(Pop3Stage.TOP, Pop3Stage.BODY, Pop3Stage.DELE),
        }
    ),
    keywords=frozenset(
        {
            *("AUTH-RESP-CODE", "EXPIRE", "IMPLEMENTATION", "LANG", "LOGIN-DELAY", "PIPELINING"),
            *("RESP-CODES", "SASL", "STLS", "TOP", "UIDL", "USER", "UTF8"),
        }
    ),
    capabilities=("TOP", "UIDL", "USER", "RESP-CODES", "PIPELINING"),
    starts_tls="STLS",
    catalog="scenarios/pop3",
    begins_reply=re.compile(r"\+OK(?: |$|\\n)|-ERR(?: |$)"),
    closes="",
    unsolicited="+OK Unsolicited",
    garbage=b"\x00\xff\xfe?!\x1b[31m this is not POP3 \x9b\r\n",
    endless=(b"+OK and so on\r\n", b"1 another-line\r\n"),
    wire=wire,
    shown=shown,
    huge=_huge,
    wrong_class=_wrong_class,
)
