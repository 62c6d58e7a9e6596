"""How many bytes of received messages the owner of a mailbox may store.

Usage is counted from committed rows, and no lock is held (decision 0022). It is compared before
each chunk of a session.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cached_property

from django.db.models import Exists, OuterRef, Sum

from outbox.db.clock import database_now
from outbox.models import InboundMessage, InboundSource, Mailbox
from outbox.models.inbound import InboundMessageQuerySet
from outbox.models.quota import limit_of
from outbox.reasons import Reason, ReasonCode

_MB = 1_000_000
_REMEMBERED_FOR = dt.timedelta(hours=1)


class Room:
    """The quota of one owner, as one fetch uses it. Messages without an owner have none.

    The sum reads every received message of the owner. The mailbox remembers it for an hour, in
    which only later messages are read and added. Deletions do not count until then, so that it is
    computed again before there is said to be no room. It is used only if there is a new message.
    """

    def __init__(self, mailbox: Mailbox, using: str) -> None:
        self._mailbox = mailbox
        self._owner_id = mailbox.account.owner_id
        self._using = using
        self._is_remembered = False  # `_used` is from an earlier fetch, and may be too high

    @cached_property
    def _limit(self) -> int | None:
        if self._owner_id is None:
            return None
        return limit_of(self._owner_id, "max_inbox_bytes", self._using)

    @cached_property
    def _used(self) -> int:
        known = self._mailbox.inbox_sum
        if known is None or known["owner"] != str(self._owner_id):
            return self._sum()
        age = database_now(self._using) - dt.datetime.fromisoformat(known["at"])
        if not dt.timedelta(0) <= age < _REMEMBERED_FOR:
            return self._sum()
        self._is_remembered = True
        used: int = known["bytes"]
        return used + _size(self._rows().filter(pk__gt=known["last"]))

    def _sum(self) -> int:
        """Read all messages of the owner, and remember their size."""
        now = database_now(self._using)
        rows = InboundMessage.objects.using(self._using).order_by("-pk")
        last = rows.values_list("pk", flat=True).first() or 0
        used = _size(self._rows().filter(pk__lte=last))
        known = {"owner": str(self._owner_id), "bytes": used, "last": last, "at": now.isoformat()}
        self._mailbox.inbox_sum = known
        Mailbox.objects.using(self._using).filter(pk=self._mailbox.pk).update(inbox_sum=known)
        self._is_remembered = False
        return used

    def _rows(self) -> InboundMessageQuerySet:
        """Return the owner's messages, without those whose content was removed."""
        kept = Exists(InboundSource.objects.using(self._using).filter(pk=OuterRef("pk")))
        return InboundMessage.objects.using(self._using).filter(kept, owner=self._owner_id)

    @property
    def is_used_up(self) -> bool:
        """Return whether no further message may be fetched."""
        if self._limit is None or self._used < self._limit:
            return False
        if self._is_remembered:
            self._used = self._sum()
        return self._used >= self._limit

    @property
    def reason(self) -> Reason:
        """Return why no further message is fetched."""
        used, limit = (round(count / _MB, 1) for count in (self._used, self._limit or 0))
        return Reason(ReasonCode.INBOX_FULL, size=used, limit=limit)

    def use(self, sizes: Iterable[int]) -> None:
        """Count messages that were stored after `is_used_up` was read."""
        if self._limit is not None:
            self._used += sum(sizes)


def _size(rows: InboundMessageQuerySet) -> int:
    return rows.order_by().aggregate(sum=Sum("size"))["sum"] or 0
