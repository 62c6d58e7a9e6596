"""Remove what has expired: messages, their content, and conversations (`outbox.models.retention`).

A pass walks each table by its key, a batch at a time, and needs no index of its own. A batch is a
short transaction on finished messages only, so that no claim waits for it. It skips rows that a
retry or a person has locked. A pass that is interrupted loses nothing: what was removed is not
found again.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import ProtectedError, RestrictedError

from outbox.db.background import BackgroundWork
from outbox.delivery.expired import (
    Expired,
    Rules,
    old_attempts,
    old_content,
    old_messages,
)
from outbox.delivery.expired_received import (
    old_received,
    old_received_content,
    old_server_messages,
)
from outbox.delivery.expired_sessions import ForgottenSessions, OldSessions
from outbox.models import LastRun, Recipient, ServerMessage, SmtpSession
from outbox.models.removal import (
    delete_messages,
    delete_received,
    remove_content,
    remove_received_content,
    remove_session_transcripts,
    remove_transcripts,
)

logger = logging.getLogger(__name__)
PERIOD = dt.timedelta(hours=1)  # from one pass to the next, in whatever process
_TASK = "retention"
_AT_ONCE_MAX = 500  # rows in one transaction
# Even if each transaction takes longer than its target: where a commit alone does, smaller ones
# only make a pass endless.
_AT_ONCE_MIN = 25
# Seconds that a transaction should take; the number of rows follows from the last one. The commit
# of a claim waits until the log of this one has been written. On SQLite, every other writer waits
# for all of it.
_TARGET = 0.02
_background = BackgroundWork("outbox-prune", "Removal of expired data")


@dataclass(frozen=True, slots=True)
class Step:
    """The walk through one table."""

    name: str
    find: Callable[[Rules, int, int], Expired]
    remove: Callable[[Collection[int], str], None]


class Pass:
    """One pass over all tables."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.at_once = _AT_ONCE_MIN
        # Of the transaction of the last batch that removed rows.
        self._took = 0.0  # seconds
        self._removed = 0  # rows

    def run(
        self, *, dry_run: bool = False, seconds: float | None = None
    ) -> Iterator[tuple[str, int]]:
        """Yield after each batch the name of the step and how many rows it has removed."""
        ends_at = None if seconds is None else time.monotonic() + seconds
        for step in _steps():
            last: int | None = 0
            while last is not None:
                if ends_at is not None and time.monotonic() > ends_at:
                    return
                started = time.monotonic()
                count, last = self._batch(step, last, dry_run=dry_run)
                took = time.monotonic() - started
                yield step.name, count
                self._adapt()
                if not dry_run and count:
                    time.sleep(took)  # deliveries come first; on SQLite, claims wait for a batch

    def _adapt(self) -> None:
        """Set the size of the next batch, which grows at most to twice what was removed.

        Rows that have not expired cost little, and say nothing about those that have.
        """
        if not self._removed or not self._took:
            return
        fitting = int(self._removed * _TARGET / self._took)
        if self._took > _TARGET:
            self.at_once = min(self.at_once, max(fitting, _AT_ONCE_MIN))
        else:
            self.at_once = max(self.at_once, min(fitting, 2 * self._removed, _AT_ONCE_MAX))

    def _batch(self, step: Step, after: int, *, dry_run: bool) -> tuple[int, int | None]:
        # A pass may last hours: a retention that becomes longer in between applies at once.
        found = step.find(Rules(self.using), after, self.at_once)
        self._took, self._removed = 0.0, 0
        if not found.ids or dry_run:
            return len(found.ids), found.last
        started = time.monotonic()
        with transaction.atomic(using=self.using):
            ids = self._locked(step, found.ids)
            try:
                with transaction.atomic(using=self.using):
                    step.remove(ids, self.using)
            except (ProtectedError, RestrictedError):
                ids = [one for one in ids if self._remove_one(step, one)]
        self._took, self._removed = time.monotonic() - started, len(ids)
        return len(ids), found.last

    def _remove_one(self, step: Step, pk: int) -> bool:
        try:
            with transaction.atomic(using=self.using):
                step.remove([pk], self.using)
        except (ProtectedError, RestrictedError) as error:
            logger.warning("Message %d is kept: %s", pk, error.args[0])
            return False
        return True

    def _locked(self, step: Step, ids: list[int]) -> list[int]:
        """Lock the recipients of messages; return those messages that are still finished."""
        if step.name not in _OF_MESSAGES:
            return ids
        recipients = Recipient.objects.using(self.using).filter(message__in=ids).order_by("pk")
        every = dict(recipients.values_list("pk", "message_id"))
        final = recipients.filter(final_at__isnull=False)
        locked = final.select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True)
        in_use = {every[pk] for pk in every.keys() - set(locked)}
        return [one for one in ids if one not in in_use]


def _delete_sessions(ids: Collection[int], using: str) -> None:
    SmtpSession.objects.using(using).filter(pk__in=list(ids))._raw_delete(using)


def _delete_server_messages(ids: Collection[int], using: str) -> None:
    ServerMessage.objects.using(using).filter(pk__in=list(ids))._raw_delete(using)


def _steps() -> tuple[Step, ...]:
    """Return the steps of one pass, in order."""
    return (
        Step("messages", old_messages, delete_messages),
        Step("contents", old_content, remove_content),
        Step("conversations", old_attempts, remove_transcripts),
        Step("received messages", old_received, delete_received),
        Step("received contents", old_received_content, remove_received_content),
        Step("ids of deleted messages", old_server_messages, _delete_server_messages),
        Step("sessions", OldSessions().find, remove_session_transcripts),
        Step("forgotten sessions", ForgottenSessions().find, _delete_sessions),
    )


_OF_MESSAGES = frozenset({"messages", "contents"})


def prune_in_background(using: str) -> None:
    """Run a pass in a new thread, once an hour, unless this process has one."""
    _background.start(
        lambda: _log(Pass(using).run()), claim=lambda: LastRun.claim(_TASK, PERIOD, using)
    )


def prune_if_due(using: str, seconds: float) -> None:
    """Run a pass in this thread for a limited time: for a process that ends soon."""
    if LastRun.claim(_TASK, PERIOD, using):
        _log(Pass(using).run(seconds=seconds))


def _log(batches: Iterator[tuple[str, int]]) -> None:
    if found := totals(batches):
        text = ", ".join(f"{count} {name}" for name, count in found.items())
        logger.info("Removed at the end of their retention: %s.", text)


def totals(batches: Iterator[tuple[str, int]]) -> dict[str, int]:
    """Return the sum of each step that has removed something."""
    sums: dict[str, int] = {}
    for name, count in batches:
        if count:
            sums[name] = sums.get(name, 0) + count
    return sums
