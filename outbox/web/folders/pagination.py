"""Pages of a list: a cursor in the list of messages, and the slice before or after it.

Lists are paged by key and not by number, so no list is counted and every page costs the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
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


class Position(Protocol):
    """A position in a list, with the conditions for the rows on either side of it."""

    @property
    def older(self) -> Q: ...

    @property
    def newer(self) -> Q: ...


AnyRow = TypeVar("AnyRow")
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
    before, after = Cursor.parse(query.get("before")), Cursor.parse(query.get("after"))
    found, has_newer, has_older = read_rows(find, size or PAGE_SIZE, before=before, after=after)
    return MessageSlice.of(found, has_older=has_older, has_newer=has_newer)


def read_rows(
    find: Callable[[Q, tuple[str, ...], int], Sequence[AnyRow]],
    size: int,
    *,
    before: Position | None,
    after: Position | None,
    is_oldest: bool = False,
    newest_first: tuple[str, ...] = NEWEST_FIRST,
    oldest_first: tuple[str, ...] = OLDEST_FIRST,
) -> tuple[list[AnyRow], bool, bool]:
    """Return the rows of a page, newest first, and whether there are newer and older ones."""
    if after is not None:
        found = find(after.newer, oldest_first, size + 1)
        if len(found) > size:
            return list(found[:size][::-1]), True, True
        before = None  # less than a page is above: show the newest page in full
    if not is_oldest:
        found = find(before.older if before else Q(), newest_first, size + 1)
        if found or before is None:
            return list(found[:size]), before is not None, len(found) > size
    found = find(Q(), oldest_first, size + 1)  # also if what was below the cursor is gone
    return list(found[:size][::-1]), len(found) > size, False


def finder(messages: QuerySet[RowT]) -> Callable[[Q, tuple[str, ...], int], list[RowT]]:
    """Return the finder for a query set that an index of the lists serves."""

    def find(condition: Q, order: tuple[str, ...], count: int) -> list[RowT]:
        return list(messages.filter(condition).order_by(*order)[:count])

    return find
