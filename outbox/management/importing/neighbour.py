"""What is asked of another app that queues mail: what waits in it, and what became of the rest.

Its tables are read by its own models, so that a mail is put together as the app itself would have
done it. It has to stay among the project's apps until the import is over.
"""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.mail import EmailMessage

from outbox import api
from outbox.models import State

TAKEN_OVER = "Taken over by the outbox as message"  # what a neighbour's own log says of it


class NeighbourError(Exception):
    """It cannot be imported from at present; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt of a neighbour's to send a mail."""

    at: dt.datetime
    succeeded: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A mail that a neighbour still has to send."""

    key: str  # of this row among all rows of all neighbours
    mail: EmailMessage
    lane: str = api.Lane.NORMAL
    send_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    tries: tuple[Try, ...] = ()
    given_up: str = ""  # why the neighbour would not have tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A mail that a neighbour is done with."""

    key: str
    mail: EmailMessage
    state: State  # sent, failed, cancelled or expired
    why: str
    queued_at: dt.datetime
    ended_at: dt.datetime
    lane: str = api.Lane.NORMAL
    tries: tuple[Try, ...] = ()


class Neighbour(ABC):
    """An app to import from. Its rows are passed around as they are; only it reads them."""

    name: ClassVar[str]  # of the package
    label: ClassVar[str]  # of the app
    using: str  # alias of the database that holds its tables

    @abstractmethod
    def at_rest(self) -> AbstractContextManager[None]:
        """Keep it from sending on this host for a while. Raises NeighbourError while it sends."""

    @abstractmethod
    def waiting(self) -> list[int]:
        """Return the ids of what it has to send."""

    @abstractmethod
    def locked(self, pk: int) -> Any | None:
        """Lock a row that waits, inside a transaction; None when it waits no more."""

    @abstractmethod
    def read_waiting(self, row: Any) -> Waiting | Past:
        """Put the mail together; one whose time is over is past. Raises whatever the app does."""

    @abstractmethod
    def let_go(self, row: Any, message_id: int) -> None:
        """Take the mail out of the app's queue, and leave a trace in its own log."""

    @abstractmethod
    def past(self) -> Iterator[Any]:
        """Give the rows of its history, less what the outbox took over."""

    @abstractmethod
    def past_key(self, row: Any) -> str:
        """Return the key of a row of the history, without reading its mail."""

    @abstractmethod
    def read_past(self, row: Any) -> Past:
        """Put a mail of the history together. Raises whatever the app does."""
