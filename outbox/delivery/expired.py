"""What has expired: each table is walked by its key, a window of keys and times at a time.

Times need not have the order of the keys, since imported history has old times under new keys. So
a walk goes to the end of the table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db.models import Count, Exists, Max, Model, OuterRef, QuerySet

from outbox.db.clock import database_now
from outbox.models import Attempt, Message, Recipient, Source, Status
from outbox.models.removal import REMOVED
from outbox.models.retention import Part, Retentions

_WINDOW = 5_000  # keys that one look covers; those of recent rows cost little
_RECIPIENTS_MAX = 2_000  # of the messages in one transaction, unless one message has more


class Expired(NamedTuple):
    """What a look found: rows that expired, and the key up to which it has looked."""

    ids: list[int]
    last: int | None  # None: the walk has ended


class Rules:
    """The retention of every account, and the time, at one moment."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.now = database_now(using)
        self.kept = Retentions(using)

    def finished(self, ids: Collection[int]) -> dict[int, dt.datetime]:
        """Return when the delivery of those messages ended that have no open recipient."""
        recipients = Recipient.objects.using(self.using).filter(message__in=ids).order_by()
        rows = recipients.values_list("message_id").annotate(
            Count("pk"), Count("final_at"), Max("final_at")
        )
        return {pk: ended for pk, all_, final, ended in rows if all_ == final and ended is not None}

    def expired(
        self, accounts: dict[int, int | None], part: Part, *, but: Part | None = None
    ) -> list[int]:
        """Return the finished messages of which a part has expired, but not another one."""
        found = []
        for pk, ended in self.finished(accounts).items():
            retention = self.kept.of(accounts[pk])
            if self.is_over(ended, retention.of(part)) and not (
                but and self.is_over(ended, retention.of(but))
            ):
                found.append(pk)
        return found

    def is_over(self, since: dt.datetime, kept: dt.timedelta | None) -> bool:
        """Return whether a time has passed since a moment."""
        return kept is not None and since + kept <= self.now

    def cutoff(self, part: Part) -> dt.datetime | None:
        """Return the time after which no message can have begun whose part has expired."""
        shortest = self.kept.shortest(part)
        return None if shortest is None else self.now - shortest


def window_of(model: type[Model], after: int, using: str) -> tuple[QuerySet[Any], int | None]:
    """Return the rows of the next keys, and the last of these; None: the table ends with them."""
    rows = model._default_manager.using(using).filter(pk__gt=after).order_by("pk")
    last = rows.values_list("pk", flat=True)[_WINDOW - 1 : _WINDOW].first()
    return (rows if last is None else rows.filter(pk__lte=last)), last


def old_messages(rules: Rules, after: int, count: int) -> Expired:
    """Return the next messages that have expired."""
    return _walk_messages(rules, after, count, Part.MESSAGE)


def old_content(rules: Rules, after: int, count: int) -> Expired:
    """Return the next messages whose content has expired."""
    return _walk_messages(rules, after, count, Part.CONTENT)


def _walk_messages(rules: Rules, after: int, count: int, part: Part) -> Expired:
    if (cutoff := rules.cutoff(part)) is None:
        return Expired([], None)
    window, last = window_of(Message, after, rules.using)
    old = window.filter(created_at__lte=cutoff).exclude(status=Status.DRAFT)
    if part is Part.CONTENT:
        old = old.filter(Exists(Source.objects.filter(pk=OuterRef("pk"))))
    found = list(old.values_list("pk", "account_id", "recipient_count")[:count])
    accounts: dict[int, int | None] = {}
    recipients = 0
    for pk, account, number in found:
        recipients += number
        if accounts and recipients > _RECIPIENTS_MAX:
            break
        accounts[pk] = account
    if len(accounts) < len(found) or len(found) == count:  # the window may have more
        last = max(accounts)
    but = None if part is Part.MESSAGE else Part.MESSAGE
    return Expired(rules.expired(accounts, part, but=but), last)


def old_attempts(rules: Rules, after: int, count: int) -> Expired:
    """Return the next attempts whose conversation has expired."""
    if (cutoff := rules.cutoff(Part.TRANSCRIPT)) is None:
        return Expired([], None)
    window, last = window_of(Attempt, after, rules.using)
    old = window.filter(started_at__lte=cutoff)
    recorded = old.exclude(transfer__in=("", REMOVED), traceback="")
    rows = list(recorded.values_list("pk", "message_id", "message__account_id")[: count * 4])
    accounts = {message: account for _pk, message, account in rows}
    over = set(rules.expired(accounts, Part.TRANSCRIPT))
    found = [pk for pk, message, _account in rows if message in over]
    return Expired(found, rows[-1][0] if len(rows) == count * 4 else last)
