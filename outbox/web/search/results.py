"""Search results, newest first, in a time that does not grow with the mailbox.

1. Read the latest messages only. A common term is found there.
2. If some but too few messages match, estimate from their density how far back a page of them
   reaches, and search that range.
3. If even fewer match, the term is rare, and an index (of terms, replies, Message-IDs or folders)
   returns few rows.

No step sorts hundreds of thousands of rows. A page costs three queries at most, and one more for a
reply code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Exists, OrderBy, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from outbox.api.history.reply_codes import has_reply
from outbox.api.values import EARLIEST
from outbox.api.values import LATEST as LATEST_TIME
from outbox.models import Folder, Message, Recipient, Role, SearchEntry, State, Status
from outbox.models.message import MessageQuerySet
from outbox.models.owner_key import owner_key
from outbox.models.recipient import is_being_sent
from outbox.models.states import RARE
from outbox.web.folders.message_list import LISTED
from outbox.web.folders.pagination import Listed
from outbox.web.search.query import Query, folder_of_state
from outbox.web.search.terms import Terms

LATEST = 3_000  # messages read in the first step
LATEST_TEXTS = 1_000  # if their texts are searched too
ENOUGH = 5  # matches from which the density is estimated
FARTHER = 2.5  # times the range of evenly spread matches


class Search:
    """The messages of a user that match a query."""

    def __init__(self, user: User, query: Query) -> None:
        self.user = user
        self.query = query
        self._terms = Terms(query, owner_key(user.pk))
        self.terms = self._terms.condition("has")
        self.about_message = self._about_message()
        self.reply = has_reply(user, query.code)

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        """Return the first messages of a condition, in an order, up to a count."""
        if self.query.is_about_received:
            return []
        found = self._among_latest(place, order, count)
        if len(found) >= count:
            return found
        reached: list[Message] = []
        near = range_of(found, order, count)
        if near is not None:
            reached = self._among_all(place & near, order, count)
            place &= ~near  # what was read is not read again
        if missing := count - len(reached):
            reached += self._among_all(place, order, missing)
        return reached

    def _among_latest(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        latest = self._entries(place).order_by(*order)
        if self.terms:
            # One walk along the index of the list: only messages with the terms are joined.
            number = self._latest_count(count)
            entries = latest.filter(_up_to(latest, order, number), self._terms.condition("holds"))
            if self._is_about_entry:
                entries = entries[:count]
        else:
            entries = latest[: self._latest_count(count)]
        messages = self._messages(Q(pk__in=entries.values("pk")))
        for condition in self.recipients:
            those = Recipient.objects.filter(condition, message=OuterRef("pk"))
            messages = messages.filter(Exists(those))
        return list(messages.order_by(*order)[:count])

    def _latest_count(self, count: int) -> int:
        """Return the number of latest messages to read."""
        if not self.terms and not self.about_message and not self.recipients:
            return count  # every message matches
        return LATEST_TEXTS if self.query.body or self.query.words else LATEST

    def _among_all(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        messages = self._messages(place & within_days(self.query))
        for condition in self.recipients:
            those = Recipient.objects.filter(condition, sender_key=owner_key(self.user.pk))
            messages = messages.filter(pk__in=those.order_by().values("message"))
        if self.terms:
            entries = self._entries(place).filter(self.terms)
            if self._is_about_entry:
                # The entries have the order too, so only a page of messages is joined.
                entries = entries.order_by(*sorted_by(order))[:count]
            messages = messages.filter(pk__in=entries.values("pk"))
        return list(messages.order_by(*sorted_by(order))[:count])

    def _entries(self, place: Q) -> QuerySet[SearchEntry]:
        """Return the search entries of all messages in the range."""
        mine = Q(owner_key=owner_key(self.user.pk))
        return SearchEntry.objects.filter(mine & place & within_days(self.query)).order_by()

    def _messages(self, condition: Q) -> MessageQuerySet:
        mine = Message.objects.visible_to(self.user).filter(condition & self.about_message)
        for role, field in ((Role.CC, "cc"), (Role.BCC, "bcc")):
            for text in getattr(self.query, field):
                mine = mine.filter(_names(role, field, text))
        return mine.only(*LISTED)

    @property
    def _is_about_entry(self) -> bool:
        """Return whether every message matches whose entry does."""
        is_about_more = self.about_message or self.recipients or self.query.cc or self.query.bcc
        return not is_about_more

    @property
    def recipients(self) -> list[Q]:
        """Return the conditions that a recipient has to meet."""
        return [condition for condition in (self.reply, self.ended) if condition]

    @property
    def ended(self) -> Q:
        """Return the condition of a state that only recipients have."""
        state = self.query.state
        return Q(ended_as=State(state)) if state and state not in Status.values else Q()

    def _about_message(self) -> Q:
        asked = Q()
        if self.query.message_id:
            asked &= Q(message_id=self.query.message_id)
        if self.query.folder:
            is_failed = self.query.folder == Folder.FAILED  # including those with an open recipient
            asked &= Q(has_failure=True) if is_failed else Q(folder=self.query.folder)
        if state := self.query.state:
            if state not in RARE:  # for which there is an index
                asked &= Q(folder__in=folder_of_state(state))
            if state in Status.values:
                asked &= _has_status(state)
        return asked


def _names(role: Role, field: str, text: str) -> Q:
    """Return the condition that a message or the text of a draft has this recipient."""
    named = Q(address__icontains=text) | Q(name__icontains=text)
    those = Recipient.objects.filter(named, role=role, message=OuterRef("pk"))
    return Q(Exists(those)) | Q(status=Status.DRAFT, **{f"draft__{field}__icontains": text})


def _has_status(status: str) -> Q:
    """Return the condition of a shown status; "sending" is stored for recipients only."""
    if status == Status.SENDING:
        return Q(is_being_sent())
    stored = Q(status=status)
    return stored & ~Q(is_being_sent()) if status in {Status.QUEUED, Status.DEFERRED} else stored


def _up_to(entries: QuerySet[SearchEntry], order: Sequence[str], number: int) -> Q:
    """Return the condition of so many first entries in an order, and of those at the same time."""
    is_descending = order[0].startswith("-")
    last = Subquery(entries.order_by(*order).values("listed_at")[number : number + 1])
    if is_descending:
        return Q(listed_at__gte=Coalesce(last, Value(EARLIEST)))
    return Q(listed_at__lte=Coalesce(last, Value(LATEST_TIME)))


def sorted_by(order: Sequence[str]) -> list[OrderBy]:
    """Return an order that no index can serve.

    Otherwise PostgreSQL may scan the index of the list until the limit is reached, which reads a
    million messages if few match.
    """
    return [
        OrderBy(Coalesce(name.lstrip("-"), name.lstrip("-")), descending=name.startswith("-"))
        for name in order
    ]


def range_of(found: Sequence[Listed], order: Sequence[str], count: int) -> Q | None:
    """Return the range that contains `count` messages at the density of those found.

    Return None if they are too few, or if all have the same time: that says nothing about others.
    """
    if len(found) < ENOUGH:
        return None
    first, last = found[0].listed_at, found[-1].listed_at
    if first == last:
        return None
    further = (last - first) / len(found) * (count - len(found)) * FARTHER
    is_descending = order[0].startswith("-")
    end = last + further  # newest first it is earlier, oldest first later
    return Q(listed_at__gte=end) if is_descending else Q(listed_at__lte=end)


def within_days(query: Query) -> Q:
    """Return the condition of the days that a query names."""
    days = Q()
    if query.after:
        days &= Q(listed_at__gte=_midnight(query.after))
    if query.before:
        days &= Q(listed_at__lt=_midnight(query.before))
    return days


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time.min))
