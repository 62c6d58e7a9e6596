"""Search results among received messages, found as those among sent ones (`results`)."""

from __future__ import annotations

from operator import attrgetter

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from outbox.models import InboundEntry, InboundFolder, InboundMessage
from outbox.models.inbound import InboundMessageQuerySet
from outbox.models.owner_key import owner_key
from outbox.web.folders.pagination import NEWEST_FIRST
from outbox.web.inbox.listing import LISTED
from outbox.web.search.query import UNREAD, Query
from outbox.web.search.results import (
    LATEST,
    LATEST_TEXTS,
    range_of,
    sorted_by,
    within_days,
)
from outbox.web.search.terms import Terms

_FOLDERS = (InboundFolder.INBOX.value, InboundFolder.ARCHIVE.value)  # unless the query names one
_SPARE = 3  # times the page: some of the newest matches may be in the trash


class ReceivedSearch:
    """The received messages of a user that match a query, without those in the trash."""

    def __init__(self, user: User, query: Query) -> None:
        self.user = user
        self.query = query
        self._terms = Terms(query, owner_key(user.pk), has_sender_addresses=True)
        self._wanted = self._terms.condition("has")

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[InboundMessage]:
        """Return the first messages of a condition, in an order, up to a count."""
        if self.query.is_about_sent:
            return []
        if not self._wanted:
            return self._by_folder(place, order, count)
        found, is_complete = self._among_latest(place, order, count)
        if is_complete:
            return found
        if len(found) < count and (near := range_of(found, order, count)) is not None:
            found = self._among_all(place & near, order, count)
        if len(found) < count:
            found = self._among_all(place, order, count)
        return found

    @property
    def _folders(self) -> tuple[str, ...]:
        return (self.query.folder,) if self.query.folder else _FOLDERS

    def _by_folder(self, place: Q, order: tuple[str, ...], count: int) -> list[InboundMessage]:
        """Return messages without words to search for: each folder is read by its index."""
        messages = self._messages(place & within_days(self.query))
        found: list[InboundMessage] = []
        for folder in self._folders:
            found += messages.filter(folder=folder).order_by(*order)[:count]
        is_descending = order == NEWEST_FIRST
        return sorted(found, key=attrgetter("listed_at", "pk"), reverse=is_descending)[:count]

    def _among_latest(
        self, place: Q, order: tuple[str, ...], count: int
    ) -> tuple[list[InboundMessage], bool]:
        """Return what is found among the latest messages, and whether that is all there is.

        Entries alone are read, in the order of their index and only until there are enough.
        """
        number = LATEST_TEXTS if self.query.body or self.query.words else LATEST
        entries = self._entries(place).order_by(*order)
        ends = list(entries.values_list("listed_at", flat=True)[number - 1 : number])
        if ends:
            is_descending = order == NEWEST_FIRST
            name = "listed_at__gte" if is_descending else "listed_at__lte"
            entries = entries.filter(**{name: ends[0]})
        such = entries.filter(self._terms.condition("holds")).values_list("pk", flat=True)
        keys = list(such[: count * _SPARE])
        found = self._listed(Q(pk__in=keys), order, count) if keys else []
        is_last = not ends and len(keys) < count * _SPARE
        return found, is_last or len(found) == count

    def _among_all(self, place: Q, order: tuple[str, ...], count: int) -> list[InboundMessage]:
        entries = self._entries(place).filter(self._wanted)
        # The entries have the order too, so that only a few messages are joined.
        first = entries.order_by(*sorted_by(order)).values_list("pk", flat=True)
        keys = list(first[: count * _SPARE])
        found = self._listed(Q(pk__in=keys), order, count) if keys else []
        if len(found) == count or len(keys) < count * _SPARE:
            return found
        return self._listed(Q(pk__in=entries.values("pk")), order, count)  # most are in the trash

    def _listed(self, condition: Q, order: tuple[str, ...], count: int) -> list[InboundMessage]:
        messages = self._messages(condition & Q(folder__in=self._folders))
        return list(messages.order_by(*sorted_by(order))[:count])

    def _entries(self, place: Q) -> QuerySet[InboundEntry]:
        mine = Q(owner_key=owner_key(self.user.pk))
        return InboundEntry.objects.filter(mine & place & within_days(self.query)).order_by()

    def _messages(self, condition: Q) -> InboundMessageQuerySet:
        mine = InboundMessage.objects.visible_to(self.user).listed().filter(condition)
        if self.query.message_id:
            mine = mine.filter(message_id=self.query.message_id)
        if self.query.state == UNREAD:
            mine = mine.filter(is_read=False)
        return mine.only(*LISTED)
