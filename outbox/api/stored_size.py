"""How many bytes the messages, drafts and attachments of one user take up.

The sum of all messages reads each of them. So the sum of those that were queued is remembered, and
only later messages and the drafts are read. What is deleted afterwards is still contained: before
something is refused, `summed` reads everything again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, Sum

from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import Attachment, Folder, Message, Origin, Source, StoredSize

QUEUED: Final = tuple(folder.value for folder in Folder if folder != Folder.DRAFTS)
# A message that is listed earlier is committed, unless its transaction takes longer. Such a message
# is missing until everything is read again.
_COMMITTED_AFTER = dt.timedelta(minutes=1)
_SUMMED_AGAIN_AFTER = dt.timedelta(days=7)
_ADDED_AFTER = 1_000  # later messages; then the remembered sum includes them


class StoredSizeOf:
    """The size of one user's messages, drafts and attachments."""

    def __init__(self, owner_id: Any) -> None:
        self._owner_id = owner_id
        self._using = get_conf().database
        self.is_exact = False  # every message was read

    def remembered(self) -> int:
        """Return the size, with what was deleted since all messages were read."""
        rows = StoredSize.objects.using(self._using)
        known = rows.filter(pk=self._owner_id).first()
        if known is None or clock.now() - known.summed_at > _SUMMED_AGAIN_AFTER:
            return self.summed()
        until = clock.now() - _COMMITTED_AFTER
        between = self._size(_queued(after=known.listed_until, until=until))
        size = known.size + between.size
        if between.messages >= _ADDED_AFTER:
            row = rows.filter(pk=self._owner_id)
            self._write(lambda: row.update(size=size, listed_until=until))
        return size + self._size_after(max(until, known.listed_until))

    def summed(self) -> int:
        """Read every message, remember the size of those that are queued, and return the size."""
        now = clock.now()
        until = now - _COMMITTED_AFTER
        size = self._size(_queued(until=until)).size
        rows = StoredSize.objects.using(self._using)
        sums = {"size": size, "listed_until": until, "summed_at": now}
        self._write(lambda: rows.update_or_create(pk=self._owner_id, defaults=sums))
        self.is_exact = True
        return size + self._size_after(until)

    def _size_after(self, moment: dt.datetime) -> int:
        """Return the size of what is not remembered: later messages, and the drafts."""
        drafts = self._size(Q(folder=Folder.DRAFTS))
        return self._size(_queued(after=moment)).size + drafts.size

    def _size(self, condition: Q) -> _Sums:
        """Return the size of messages with their files."""
        messages = Message.objects.using(self._using).filter(condition, owner=self._owner_id)
        stored = Source.objects.using(self._using).filter(pk=OuterRef("pk"))
        kept = Q(folder=Folder.DRAFTS) | Exists(stored)  # not those whose content was removed
        counted = messages.filter(kept).exclude(origin=Origin.REPORT).order_by()
        sums = counted.aggregate(size=Sum("size"), count=Count("pk"))
        files = Attachment.objects.using(self._using).filter(message__in=messages.order_by())
        of_files = files.order_by().aggregate(size=Sum("size"))
        return _Sums((sums["size"] or 0) + (of_files["size"] or 0), sums["count"])

    def _write(self, write: Callable[[], object]) -> None:
        """Write after the transaction of the caller: other requests would wait for its lock.

        A caller that ends transactions itself, without autocommit, has no such moment.
        """
        connection = transaction.get_connection(self._using)
        if connection.in_atomic_block or connection.get_autocommit():
            transaction.on_commit(write, using=self._using, robust=True)


class _Sums(NamedTuple):
    size: int  # bytes
    messages: int


def _queued(*, after: dt.datetime | None = None, until: dt.datetime | None = None) -> Q:
    """Return the condition of messages that were queued in a time."""
    condition = Q(folder__in=QUEUED)
    if after is not None:
        condition &= Q(listed_at__gt=after)
    if until is not None:
        condition &= Q(listed_at__lte=until)
    return condition
