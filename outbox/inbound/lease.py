"""The lease on a mailbox: of all processes, one fetches it at a time.

The database's clock judges it. A thread extends it while messages are fetched, since one message
may take minutes. A process that loses it stores nothing more: each commit checks it.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import threading
from types import TracebackType
from typing import Any, Self

from django.db import connections
from django.db.models import Q

from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.models import Mailbox

logger = logging.getLogger(__name__)
DURATION = dt.timedelta(seconds=90)
_EXTENDED_EVERY = 25.0  # seconds


class LeaseLostError(Exception):
    """Another process fetches the mailbox, or its settings were changed."""


class Lease:
    """A lease that `take` has returned. As a context manager, it is extended by a thread."""

    def __init__(self, mailbox_id: int, key: str, using: str, stop: threading.Event) -> None:
        self._mailbox_id = mailbox_id
        self._key = key
        self._using = using
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox-lease", daemon=True)

    @classmethod
    def take(
        cls, mailbox_id: int, using: str, stop: threading.Event, *, only_due: bool = False
    ) -> Self | None:
        """Return a new lease; None if another process has one. `stop` is set if it is lost.

        `only_due` returns None as well if the mailbox is not due any more: another process has
        fetched it since it was found.
        """
        now = database_now(using)
        key = secrets.token_hex(16)
        free = Mailbox.objects.using(using).filter(
            Q(lease_until=None) | Q(lease_until__lte=now), pk=mailbox_id
        )
        if only_due:
            free = free.filter(is_active=True, account__is_active=True, next_fetch_at__lte=now)
        if not free.update(lease_until=now + DURATION, lease_key=key):
            return None
        return cls(mailbox_id, key, using, stop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def extend(self) -> dt.datetime:
        """Extend the lease, in the present transaction if there is one; return the present time.

        Raise LeaseLostError.
        """
        now = database_now(self._using)
        if not self._update(lease_until=now + DURATION):
            raise LeaseLostError
        return now

    def end(self, **columns: Any) -> bool:
        """End the lease and write the result. Return False if it was lost before."""
        return self._update(lease_until=None, lease_key="", **columns)

    def _update(self, **columns: Any) -> bool:
        same = Mailbox.objects.using(self._using).filter(pk=self._mailbox_id, lease_key=self._key)
        return same.update(**columns) > 0

    def _run(self) -> None:
        while not self._ended.wait(_EXTENDED_EVERY):
            try:
                self.extend()
            except LeaseLostError:
                self._stop.set()
                return
            except DATABASE_UNAVAILABLE as error:
                logger.warning(
                    "The lease on mailbox %d was not extended: %s", self._mailbox_id, error
                )
            finally:
                connections[self._using].close()
