"""The steps that a script can yield: all I/O of SMTP.

A script is a generator. It yields steps and is resumed when a step is done. If the session fails
during a step, an `SmtpFault` is raised inside the script. `connection` runs scripts over asyncio;
tests run them without sockets.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Write:
    """Write commands; `shown` replaces them in the transcript if they contain a secret."""

    data: bytes
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """Write a part of the body, at the speed of the network."""

    data: bytes


class Action(Enum):
    """Steps without data."""

    AWAIT_REPLIES = auto()  # wait until every due reply has arrived
    REQUEST_DOT = auto()  # start `before_dot` if it was not; the body may be sent during it
    PERMIT_DOT = auto()  # wait for its permission; without it the session ends
    START_TLS = auto()  # the TLS handshake


Step = Write | Stream | Action
Result = TypeVar("Result")
Script = Generator[Step, None, Result]
