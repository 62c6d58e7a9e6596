"""Quotas: how much one user may store, and queue in an hour.

Usage is counted from committed rows, and no lock is held. Requests at the same time may all be
allowed, so a quota can be exceeded by what they add (decision 0022). Messages without an owner
have no quota, and the site's own reports to a user use up none.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from outbox.api.sizes import Size
from outbox.api.stored_size import QUEUED, StoredSizeOf
from outbox.conf import get_conf
from outbox.db import clock
from outbox.exceptions import QuotaExceededError
from outbox.models import (
    Account,
    Contact,
    Folder,
    Message,
    Origin,
    Template,
    quota,
)
from outbox.texts import Value, gettext_noop

Item = TypeVar("Item")
_HOUR = dt.timedelta(hours=1)
# The size of what the user stores is read for the first messages of an hour, then once in so many.
_STORAGE_EVERY = 100

_MESSAGES = gettext_noop(
    "Messages queued in the last hour: %(count)s. The limit is %(limit)s. Try again later."
)
_STORED = gettext_noop(
    "Your messages and attachments would take up %(size)s. The limit is %(limit)s."
)
_COUNTS: Mapping[str, str] = {
    "max_drafts": gettext_noop("You have reached your limit for drafts: %(count)s of %(limit)s."),
    "max_accounts": gettext_noop(
        "You have reached your limit for accounts: %(count)s of %(limit)s."
    ),
    "max_templates": gettext_noop(
        "You have reached your limit for templates: %(count)s of %(limit)s."
    ),
    "max_contacts": gettext_noop(
        "You have reached your limit for contacts: %(count)s of %(limit)s."
    ),
}


def limit_of(owner_id: Any, name: str) -> int:
    """Return a limit of a user: the one that staff set, else that of the settings."""
    return quota.limit_of(owner_id, name, get_conf().database)


def queued_in_last_hour(owner_id: Any) -> tuple[int, int]:
    """Return the number of messages that the user queued in the last hour, and the limit."""
    messages = Message.objects.using(get_conf().database)
    recent = messages.exclude(origin=Origin.REPORT).filter(
        owner=owner_id, folder__in=QUEUED, listed_at__gt=clock.now() - _HOUR
    )  # the index of the lists
    return recent.order_by().count(), limit_of(owner_id, "max_messages_per_hour")


def check_messages(owner: Model | None, count: int = 1) -> None:
    """Raise QuotaExceededError if the user may not queue so many messages at present."""
    if owner is None:
        return
    used, limit = queued_in_last_hour(owner.pk)
    if used + count > limit:
        raise QuotaExceededError("owner", _MESSAGES, count=used, limit=limit)
    if used < _STORAGE_EVERY or (used + count) // _STORAGE_EVERY > used // _STORAGE_EVERY:
        check_storage(owner.pk)


class MessageAllowance:
    """How many messages of a batch the owner may queue. The rows are counted once per batch."""

    def __init__(self, owner: Model | None, most: int) -> None:
        self._used, self._limit = (0, most) if owner is None else queued_in_last_hour(owner.pk)
        self._is_bounded = owner is not None
        if owner is not None and self._used < self._limit:
            check_storage(owner.pk)

    def use(self) -> None:
        """Raise QuotaExceededError if no further message is allowed."""
        if self._is_bounded and self._used >= self._limit:
            raise QuotaExceededError("owner", _MESSAGES, count=self._used, limit=self._limit)
        self._used += 1


class Owners:
    """The owners of rendered messages that are queued together."""

    def __init__(self) -> None:
        self._seen: dict[Any, Model] = {}

    def check(self, items: Iterable[object]) -> None:
        """Raise QuotaExceededError if an owner may not queue all of these messages."""
        counts: Counter[Any] = Counter()
        for item in self.noted(items):
            owner = _owner_of(item)
            if owner is not None:
                counts[owner.pk] += 1
        for key, count in counts.items():
            check_messages(self._seen[key], count)

    def noted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items and note their owners."""
        for item in items:
            owner = _owner_of(item)
            if owner is not None:
                self._seen[owner.pk] = owner
            yield item

    def check_afterwards(self) -> None:
        """Raise QuotaExceededError if an owner exceeds the quota with what was just written."""
        for owner in self._seen.values():
            check_messages(owner, 0)


def _owner_of(item: object) -> Model | None:
    """Return whose quota a rendered message uses. The site's reports to its users use none."""
    owner = getattr(item, "owner", None)
    is_report = getattr(item, "origin", None) == Origin.REPORT
    return owner if isinstance(owner, Model) and not is_report else None


def check_storage(owner_id: Any, more: int = 0) -> None:
    """Raise QuotaExceededError if the user's messages and files and so many bytes are too many."""
    if owner_id is None:
        return
    limit = limit_of(owner_id, "max_stored_bytes")
    stored = StoredSizeOf(owner_id)
    used = stored.remembered()
    if used + more > limit and not stored.is_exact:
        used = stored.summed()
    if used + more > limit:
        raise QuotaExceededError("attachments", _STORED, size=Size(used + more), limit=Size(limit))


def check_drafts(owner_id: Any) -> None:
    """Raise QuotaExceededError if the user may not begin another draft."""
    drafts = Message.objects.using(get_conf().database).filter(folder=Folder.DRAFTS)
    _check_count(owner_id, "max_drafts", drafts)


def check_accounts(owner_id: Any) -> None:
    """Raise QuotaExceededError if the user may not add another account."""
    _check_count(owner_id, "max_accounts", Account.objects.using(get_conf().database))


def check_templates(owner_id: Any) -> None:
    """Raise QuotaExceededError if the user may not add another template."""
    _check_count(owner_id, "max_templates", Template.objects.using(get_conf().database))


def check_contacts(owner_id: Any) -> None:
    """Raise QuotaExceededError if the user may not add another contact."""
    _check_count(owner_id, "max_contacts", Contact.objects.using(get_conf().database))


def _check_count(owner_id: Any, name: str, rows: QuerySet[Any]) -> None:
    count, limit = rows.filter(owner=owner_id).order_by().count(), limit_of(owner_id, name)
    if count >= limit:
        values: dict[str, Value] = {"count": count, "limit": limit}
        raise QuotaExceededError("owner", _COUNTS[name], **values)
