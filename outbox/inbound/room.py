"""How many bytes of received messages the owner of a mailbox may store.

Usage is counted from committed rows, and no lock is held (decision 0022). It is compared before
each chunk of a session. The excess is a chunk for each mailbox that is fetched at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, Sum

from outbox.models import InboundMessage, InboundSource
from outbox.models.quota import limit_of
from outbox.reasons import Reason, ReasonCode

_MB = 1_000_000


class Room:
    """The quota of one owner, as one fetch uses it. Messages without an owner have none.

    The sum reads every received message of the owner, so it is computed once for all sessions.
    """

    def __init__(self, owner_id: Any, using: str) -> None:
        self._limit: int | None = None
        self._used = 0
        if owner_id is not None:
            self._limit = limit_of(owner_id, "max_inbox_bytes", using)
            self._used = _stored_bytes(owner_id, using)

    @property
    def is_used_up(self) -> bool:
        """Return whether no further message may be fetched."""
        return self._limit is not None and self._used >= self._limit

    @property
    def reason(self) -> Reason:
        """Return why no further message is fetched."""
        used, limit = (round(count / _MB, 1) for count in (self._used, self._limit or 0))
        return Reason(ReasonCode.INBOX_FULL, size=used, limit=limit)

    def use(self, sizes: Iterable[int]) -> None:
        """Count messages that were stored."""
        self._used += sum(sizes)


def _stored_bytes(owner_id: Any, using: str) -> int:
    """Return the size of the owner's messages, without those whose content was removed."""
    kept = Exists(InboundSource.objects.using(using).filter(pk=OuterRef("pk")))
    rows = InboundMessage.objects.using(using).filter(kept, owner=owner_id)
    return rows.order_by().aggregate(sum=Sum("size"))["sum"] or 0
