"""A place in a list of mail, and the page above or below it.

Paged by key, not by number: no list is counted, and a page costs the same however far down it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.db.models import Q

from outbox.models import Message
from outbox.models.message import MessageQuerySet
from outbox.web.numbers import number

PAGE_SIZE = 50  # where a person chose none
ORDER = ("listed_at", "pk")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """The moment a message is listed at, and its id among equals."""

    at: dt.datetime
    pk: int

    @classmethod
    def of(cls, message: Message) -> Place:
        """Return where the message stands."""
        return cls(message.listed_at, message.pk)

    @classmethod
    def read(cls, text: str | None) -> Place | None:
        """Read what `str` wrote; anything else is no place."""
        moment, _, key = (text or "").partition("-")
        microseconds, pk = number(moment), number(key)
        if microseconds is None or pk is None:
            return None
        try:
            return cls(_EPOCH + microseconds * _MICROSECOND, pk)
        except OverflowError:
            return None

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.pk}"

    # The bound alone would do to find a place in the index; the rest tells equals apart.

    @property
    def below(self) -> Q:
        """What is listed after it."""
        return Q(listed_at__lte=self.at) & (Q(listed_at__lt=self.at) | Q(pk__lt=self.pk))

    @property
    def above(self) -> Q:
        """What is listed before it."""
        return Q(listed_at__gte=self.at) & (Q(listed_at__gt=self.at) | Q(pk__gt=self.pk))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some messages, newest first, and where to go on from them."""

    messages: list[Message]
    older: Place | None
    newer: Place | None
    is_newest: bool  # nothing can come above them but what is new

    @classmethod
    def of(cls, found: list[Message], *, older: bool, newer: bool) -> Stretch:
        """Set out what was found; `older` and `newer` tell whether there is more."""
        return cls(
            found,
            Place.of(found[-1]) if found and older else None,
            Place.of(found[0]) if found and newer else None,
            is_newest=not newer,
        )


def read_stretch(
    query: Mapping[str, str],
    find: Callable[[Q, tuple[str, ...], int], list[Message]],
    size: int | None = None,
) -> Stretch:
    """Read the page that `before` or `after` of the query leads to.

    `find` returns the first so many messages of a condition in an order.
    """
    size = size or PAGE_SIZE
    newest = tuple(f"-{name}" for name in ORDER)
    before, after = Place.read(query.get("before")), Place.read(query.get("after"))
    if after is not None:
        above = find(after.above, ORDER, size + 1)
        if len(above) > size:
            return Stretch.of(above[size - 1 :: -1], older=True, newer=True)
        before = None  # the very top is near: show a whole page of it
    found = find(before.below if before else Q(), newest, size + 1)
    return Stretch.of(found[:size], older=len(found) > size, newer=before is not None)


def find_among(listed: MessageQuerySet) -> Callable[[Q, tuple[str, ...], int], list[Message]]:
    """Return the way to find messages of a queryset whose index has that order."""

    def find(condition: Q, order: tuple[str, ...], count: int) -> list[Message]:
        return list(listed.filter(condition).order_by(*order)[:count])

    return find
