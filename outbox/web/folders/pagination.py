"""Pages of a list of messages: a cursor in the list, and the slice before or after it.

Lists are paged by key and not by number, so no list is counted and every page costs the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.db.models import Model, Q, QuerySet

from outbox.web.parameters import integer

PAGE_SIZE = 50  # unless the user chose another
OLDEST_FIRST = ("listed_at", "pk")
NEWEST_FIRST = ("-listed_at", "-pk")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class Listed(Protocol):
    """A message with the time at which lists show it."""

    @property
    def pk(self) -> Any: ...

    @property
    def listed_at(self) -> dt.datetime: ...


ListedT = TypeVar("ListedT", bound=Listed)
RowT = TypeVar("RowT", bound=Model)
# Returns the first messages of a condition, in an order, up to a count.
Finder = Callable[[Q, tuple[str, ...], int], list[ListedT]]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The time at which a message is listed, and its id to order messages of the same time."""

    listed_at: dt.datetime
    pk: int

    @classmethod
    def of(cls, message: Listed) -> Cursor:
        """Return the cursor at a message."""
        return cls(message.listed_at, message.pk)

    @classmethod
    def parse(cls, text: str | None) -> Cursor | None:
        """Parse what `str` wrote. Return None for any other text."""
        time, _, key = (text or "").partition("-")
        microseconds, pk = integer(time), integer(key)
        if microseconds is None or pk is None:
            return None
        try:
            return cls(_EPOCH + microseconds * _MICROSECOND, pk)
        except OverflowError:
            return None

    def __str__(self) -> str:
        return f"{(self.listed_at - _EPOCH) // _MICROSECOND}-{self.pk}"

    # The first term is what the index of the lists can use; the second separates equal times.

    @property
    def older(self) -> Q:
        """Return the condition for the messages listed below the cursor."""
        at, pk = self.listed_at, self.pk
        return Q(listed_at__lte=at) & (Q(listed_at__lt=at) | Q(pk__lt=pk))

    @property
    def newer(self) -> Q:
        """Return the condition for the messages listed above the cursor."""
        at, pk = self.listed_at, self.pk
        return Q(listed_at__gte=at) & (Q(listed_at__gt=at) | Q(pk__gt=pk))


@dataclass(frozen=True, slots=True)
class MessageSlice(Generic[ListedT]):
    """Messages of one page, newest first, with the cursors of the pages around it."""

    messages: list[ListedT]
    older: Cursor | None
    newer: Cursor | None
    is_newest: bool  # only new messages can appear above it

    @classmethod
    def of(
        cls, messages: list[ListedT], *, has_older: bool, has_newer: bool
    ) -> MessageSlice[ListedT]:
        """Return the slice of these messages."""
        return cls(
            messages,
            Cursor.of(messages[-1]) if messages and has_older else None,
            Cursor.of(messages[0]) if messages and has_newer else None,
            is_newest=not has_newer,
        )


def read_slice(
    query: Mapping[str, str], find: Finder[ListedT], size: int | None = None
) -> MessageSlice[ListedT]:
    """Return the page that `before` or `after` in a query string names."""
    size = size or PAGE_SIZE
    before, after = Cursor.parse(query.get("before")), Cursor.parse(query.get("after"))
    if after is not None:
        newer = find(after.newer, OLDEST_FIRST, size + 1)
        if len(newer) > size:
            return MessageSlice.of(newer[size - 1 :: -1], has_older=True, has_newer=True)
        before = None  # less than a page is above: show the newest page in full
    found = find(before.older if before else Q(), NEWEST_FIRST, size + 1)
    if before is not None and not found:  # what was below the cursor is gone
        return _oldest(find, size)
    return MessageSlice.of(found[:size], has_older=len(found) > size, has_newer=before is not None)


def _oldest(find: Finder[ListedT], size: int) -> MessageSlice[ListedT]:
    found = find(Q(), OLDEST_FIRST, size + 1)
    return MessageSlice.of(found[:size][::-1], has_older=False, has_newer=len(found) > size)


def finder(messages: QuerySet[RowT]) -> Callable[[Q, tuple[str, ...], int], list[RowT]]:
    """Return the finder for a query set that an index of the lists serves."""

    def find(condition: Q, order: tuple[str, ...], count: int) -> list[RowT]:
        return list(messages.filter(condition).order_by(*order)[:count])

    return find
