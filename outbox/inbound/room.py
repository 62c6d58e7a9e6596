"""How many bytes of received messages the owner of a mailbox may store.

Usage is counted from committed rows, and no lock is held (decision 0022). It is compared before
each chunk of a session. The excess is a chunk for each mailbox that is fetched at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.db.models import Exists, OuterRef, Sum

from outbox.models import InboundMessage, InboundSource
from outbox.models.quota import limit_of
from outbox.reasons import Reason, ReasonCode

_MB = 1_000_000


class Room:
    """The quota of one owner, as one fetch uses it. Messages without an owner have none.

    The sum reads every received message of the owner. It is computed once for all sessions of a
    fetch, and only if there is a new message.
    """

    def __init__(self, owner_id: Any, using: str) -> None:
        self._owner_id = owner_id
        self._using = using

    @cached_property
    def _limit(self) -> int | None:
        if self._owner_id is None:
            return None
        return limit_of(self._owner_id, "max_inbox_bytes", self._using)

    @cached_property
    def _used(self) -> int:
        return _stored_bytes(self._owner_id, self._using)

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
        """Count messages that were stored after `is_used_up` was read."""
        if self._limit is not None:
            self._used += sum(sizes)


def _stored_bytes(owner_id: Any, using: str) -> int:
    """Return the size of the owner's messages, without those whose content was removed."""
    kept = Exists(InboundSource.objects.using(using).filter(pk=OuterRef("pk")))
    rows = InboundMessage.objects.using(using).filter(kept, owner=owner_id)
    return rows.order_by().aggregate(sum=Sum("size"))["sum"] or 0
