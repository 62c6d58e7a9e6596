"""The interface to another email app: its queue, and the history of finished messages.

The app's own models read its tables, so that a message is built as the app itself would build it.
The app must stay installed until the import has finished.
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
from outbox.reasons import Reason

TAKEN_OVER = "Taken over by the outbox as message"  # the start of the entry in the app's own log


class ImportSourceError(Exception):
    """Nothing can be imported at present; the error says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """One attempt of the app to send a message."""

    at: dt.datetime
    succeeded: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEmail:
    """A message in the queue of the app."""

    key: str  # unique among all rows of all apps
    mail: EmailMessage
    priority: str = api.Priority.NORMAL
    send_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    attempts: tuple[PastAttempt, ...] = ()
    hold_reason: str = ""  # why the app would not have tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedEmail:
    """A message that is no longer in the queue of the app."""

    key: str
    mail: EmailMessage
    state: State  # sent, failed, cancelled or expired
    reason: Reason
    queued_at: dt.datetime
    ended_at: dt.datetime
    priority: str = api.Priority.NORMAL
    attempts: tuple[PastAttempt, ...] = ()


class ImportSource(ABC):
    """An app to import from. Its rows are opaque to the other modules."""

    name: ClassVar[str]  # of the package
    label: ClassVar[str]  # of the app
    using: str  # alias of the database with its tables

    @abstractmethod
    def paused(self) -> AbstractContextManager[None]:
        """Stop the app from sending on this host. Raise ImportSourceError while it is sending."""

    @abstractmethod
    def queued_ids(self) -> list[int]:
        """Return the ids of the rows in its queue."""

    @abstractmethod
    def lock_row(self, pk: int) -> Any | None:
        """Lock a row of the queue, inside a transaction; return None if it is no longer queued."""

    @abstractmethod
    def read_queued(self, row: Any) -> QueuedEmail | FinishedEmail:
        """Return the message of a row; an expired one is finished. Raise any error of the app."""

    @abstractmethod
    def mark_as_imported(self, row: Any, message_id: int) -> None:
        """Remove a message from the app's queue, and add an entry to its log."""

    @abstractmethod
    def history(self) -> Iterator[Any]:
        """Yield the rows of its history, without those that were imported."""

    @abstractmethod
    def history_key(self, row: Any) -> str:
        """Return the key of a row of the history, without building its message."""

    @abstractmethod
    def read_finished(self, row: Any) -> FinishedEmail:
        """Return the message of a row of the history. Raise any error of the app."""
