"""What a script asks of whoever runs it: the whole of SMTP's I/O in six words.

A script is a generator. It yields steps and is resumed when a step is done; a session that breaks
off meanwhile is thrown into it as a `SmtpFault`. `connection` runs scripts over asyncio; the tests
run them over a list of lines.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Write:
    """Write commands; `shown` is what the transcript keeps where they hold a secret."""

    data: bytes
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """Write a stretch of the body, waiting for the network where it is slow."""

    data: bytes


class Act(Enum):
    """Steps that need no more than a name."""

    AWAIT = auto()  # until every reply owed has come
    ASK = auto()  # start `before_dot`, unless it was; the body may leave meanwhile
    CONSENT = auto()  # wait for its yes; a no ends the session
    SECURE = auto()  # the TLS handshake


Step = Write | Stream | Act
Result = TypeVar("Result")
Script = Generator[Step, None, Result]
