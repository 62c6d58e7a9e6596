"""Search results among all messages of a user: those that were sent, and those received."""

from __future__ import annotations

from operator import attrgetter

from django.contrib.auth.models import User
from django.db.models import Q

from outbox.models import InboundMessage, Message
from outbox.web.folders.pagination import NEWEST_FIRST
from outbox.web.search.query import Query
from outbox.web.search.received import ReceivedSearch
from outbox.web.search.results import Search


class SearchOfAll:
    """Sent and received messages that match a query, merged by time.

    Both have the same order, so that each side needs no more than the messages of one page. Their
    ids are counted separately. A page could miss a message only if a sent and a received one had
    the same id and the same microsecond.
    """

    def __init__(self, user: User, query: Query) -> None:
        self._sent = Search(user, query)
        self._received = ReceivedSearch(user, query)

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message | InboundMessage]:
        """Return the first messages of a condition, in an order, up to a count."""
        found: list[Message | InboundMessage] = [*self._sent.find(place, order, count)]
        found += self._received.find(place, order, count)
        is_descending = order == NEWEST_FIRST
        return sorted(found, key=attrgetter("listed_at", "pk"), reverse=is_descending)[:count]
