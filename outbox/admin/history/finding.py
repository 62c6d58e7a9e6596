"""How the messages that an operator looks for are found: newest first, over all owners.

The steps are those of a user's search (`outbox.web.search.results`): the latest messages are read
first, which finds what is common; then the range that probably has enough matches; then an index,
which returns the few rows of a rare condition. A condition that many recipients meet, and none of
the latest, is looked for among more messages before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Max, Min, Q, QuerySet

from outbox.api.history.conditions import Conditions, queued_messages, recipients_with
from outbox.models import Message, SiteEntry
from outbox.web.folders.pagination import NEWEST_FIRST, Cursor
from outbox.web.search.results import LATEST, range_of, sorted_by

MORE = 60_000  # messages among which frequent recipients are looked for
FEW = 5_000  # recipients that an index returns at once

# What a row of the list shows.
LISTED = (
    "id",
    "status",
    "subject",
    "is_sensitive",
    "to_summary",
    "recipient_count",
    "listed_at",
    "queued_at",
    "send_at",
    "account__name",
)


class History:
    """The messages that meet the conditions, and one of the alternatives."""

    def __init__(
        self, conditions: Conditions, alternatives: Sequence[Conditions] = (Conditions(),)
    ) -> None:
        self.searches = [conditions & one for one in alternatives]

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        """Return the first messages of a condition, in an order, up to a count.

        It costs six queries for each alternative at most, with one condition on recipients.
        """
        found: dict[int, Message] = {}
        for search in self.searches:
            found |= {one.pk: one for one in _find(search, place, order, count)}
        if len(self.searches) == 1:
            return list(found.values())
        in_order = sorted(found.values(), key=_position, reverse=order == NEWEST_FIRST)
        return in_order[:count]


def _position(message: Message) -> tuple[object, int]:
    cursor = Cursor.of(message)
    return (cursor.listed_at, cursor.pk)


def _find(wanted: Conditions, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
    if wanted.is_key:
        return _among_all(wanted, place, order, count)
    if not wanted.terms and not wanted.recipients:
        return _rows(queued_messages().filter(wanted.messages, wanted.dates, place), order, count)
    latest = _among_latest(wanted, place, order, count)
    if len(latest) >= count:
        return latest
    found: list[Message] = []
    reached = range_of(latest, order, count)
    if reached is not None:
        found = _among_all(wanted, place & reached, order, count)
        place &= ~reached  # what was read is not read again
    missing = count - len(found)
    more: list[Message] = []
    if missing and _are_frequent(wanted.recipients):
        more = _among_more(wanted, place, order, missing)
    if len(more) < missing:
        more = _among_all(wanted, place, order, missing)
    return found + more


def _rows(messages: QuerySet[Message], order: Sequence[Any], count: int) -> list[Message]:
    return list(messages.select_related("account").only(*LISTED).order_by(*order)[:count])


def _among_latest(
    wanted: Conditions, place: Q, order: tuple[str, ...], count: int
) -> list[Message]:
    latest = queued_messages().filter(wanted.messages, wanted.dates, place).order_by(*order)
    messages = Message.objects.filter(pk__in=latest[:LATEST].values("pk"))
    return _rows(wanted.check_rows(messages), order, count)


def _are_frequent(recipients: Sequence[Q]) -> bool:
    """Return whether many recipients meet each of the conditions."""
    if not recipients:
        return False
    return all(recipients_with(one)[FEW : FEW + 1].exists() for one in recipients)


def _among_more(wanted: Conditions, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
    """Return what is found among the next messages of the list.

    The index of a condition is in the order of ids, so their bounds spare most of it.
    """
    next_ones = Message.objects.filter(wanted.dates, place).order_by(*order)[:MORE]
    bounds = next_ones.aggregate(
        first=Min("pk"), last=Max("pk"), since=Min("listed_at"), until=Max("listed_at")
    )
    if bounds["first"] is None:
        return []
    ids = Q(message__gte=bounds["first"], message__lte=bounds["last"])
    return _among_all(
        replace(wanted, recipients=tuple(one & ids for one in wanted.recipients)),
        place & Q(listed_at__gte=bounds["since"], listed_at__lte=bounds["until"]),
        order,
        count,
    )


def _among_all(wanted: Conditions, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
    messages = queued_messages().filter(wanted.messages, wanted.dates, place)
    for condition in wanted.recipients:
        messages = messages.filter(pk__in=recipients_with(condition).values("message"))
    if wanted.terms:
        entries = SiteEntry.objects.filter(wanted.dates, place, terms__has=wanted.wanted)
        if not wanted.messages and not wanted.recipients:
            # The entries have the order too, so only a page of messages is joined.
            entries = entries.order_by(*sorted_by(order))[:count]
        messages = messages.filter(pk__in=entries.values("pk"))
    # No index is read in the order of the list: it might be read to its end for a few matches.
    return _rows(messages, sorted_by(order), count)
