"""How many bytes the messages, drafts and attachments of one user take up.

The sum of all messages reads each of them. So the sum of those that were queued is remembered, and
only later messages and the drafts are read. What is deleted afterwards is still contained: before
something is refused, `summed` reads everything again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from outbox.conf import get_conf
from outbox.db import clock
from outbox.models import Attachment, Folder, Message, Origin, Source, StoredSize

QUEUED: Final = tuple(folder.value for folder in Folder if folder != Folder.DRAFTS)
# A message that is listed earlier is committed, unless its transaction takes longer.
_COMMITTED_AFTER = dt.timedelta(minutes=1)
# Restored and imported messages have old times, and a transaction can take long.
_SUMMED_AGAIN_AFTER = dt.timedelta(days=7)
_ADDED_AFTER = 1_000  # later messages; then the remembered sum includes them


class StoredSizeOf:
    """The size of one user's messages, drafts and attachments."""

    def __init__(self, owner_id: Any) -> None:
        self._owner_id = owner_id
        self._using = get_conf().database

    def remembered(self) -> int:
        """Return at least the size, but for what transactions of minutes committed this week."""
        known = StoredSize.objects.using(self._using).filter(pk=self._owner_id).first()
        if known is None or clock.now() - known.summed_at > _SUMMED_AGAIN_AFTER:
            return self.summed()
        later = Q(folder__in=QUEUED, listed_at__gt=known.listed_until)
        size, count = self._size(later)
        if count >= _ADDED_AFTER:
            self._add_later(known)
        return known.size + size + self._size(Q(folder=Folder.DRAFTS))[0]

    def summed(self) -> int:
        """Read every message, remember the size of those that are queued, and return the size."""
        now = clock.now()
        until = now - _COMMITTED_AFTER
        size, _ = self._size(Q(folder__in=QUEUED, listed_at__lte=until))
        rows = StoredSize.objects.using(self._using)
        sums = {"size": size, "listed_until": until, "summed_at": now}
        self._after_commit(lambda: rows.update_or_create(pk=self._owner_id, defaults=sums))
        later, _ = self._size(Q(folder__in=QUEUED, listed_at__gt=until))
        return size + later + self._size(Q(folder=Folder.DRAFTS))[0]

    def _add_later(self, known: StoredSize) -> None:
        """Include later messages in the remembered sum, unless another request just did."""
        until = clock.now() - _COMMITTED_AFTER
        if until <= known.listed_until:
            return
        between = Q(folder__in=QUEUED, listed_at__gt=known.listed_until, listed_at__lte=until)
        size, _ = self._size(between)
        rows = StoredSize.objects.using(self._using)
        row = rows.filter(pk=self._owner_id, listed_until=known.listed_until)
        self._after_commit(lambda: row.update(size=known.size + size, listed_until=until))

    def _after_commit(self, write: Callable[[], object]) -> None:
        """Write outside the caller's transaction, whose lock other requests would wait for."""
        transaction.on_commit(write, using=self._using, robust=True)

    def _size(self, condition: Q) -> tuple[int, int]:
        """Return the size of the messages of a condition with their files, and their number."""
        messages = Message.objects.using(self._using).filter(condition, owner=self._owner_id)
        stored = Source.objects.using(self._using).filter(pk=OuterRef("pk"))
        kept = Q(folder=Folder.DRAFTS) | Exists(stored)  # not those whose content was removed
        counted = messages.filter(kept).exclude(origin=Origin.REPORT).order_by()
        sums = counted.aggregate(size=Sum("size"), count=Count("pk"))
        files = Attachment.objects.using(self._using).filter(message__in=messages.order_by())
        return (sums["size"] or 0) + _sum_of(files), sums["count"]


def _sum_of(files: QuerySet[Attachment]) -> int:
    return files.order_by().aggregate(sum=Sum("size"))["sum"] or 0
