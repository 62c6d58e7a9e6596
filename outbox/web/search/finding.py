"""Finding mail, newest first, in a time that does not grow with the mailbox.

Every search first looks at the latest mail alone: what is common is there. Where there was some but
too little, it lies so thick that the page can be found a known way further back. What is rare is
not there, and an index has few rows to give: the terms', the replies', the Message-IDs', the
folder's. So none of it is ever sorted by the hundred thousand. A page costs three queries at most,
one more where a reply is asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Exists, OrderBy, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from outbox.mail.terms import fold, terms_asked
from outbox.models import Folder, Message, Recipient, Role, SearchEntry, State, Status
from outbox.models.message import MessageQuerySet
from outbox.models.recipient import is_being_sent
from outbox.models.search import FACT, PEOPLE, SENDER, SUBJECT, body_term, has_phrase, head_term
from outbox.models.states import RARE
from outbox.models.terms import Wanted, Whole
from outbox.web.messages.rows import LISTED
from outbox.web.search.query import Query, folder_of_state
from outbox.web.search.replying import replied

LATEST = 3_000  # messages looked at first
LATEST_TEXTS = 1_000  # where their texts are looked at too
ENOUGH = 5  # found among them, to tell how far apart such mails lie
FARTHER = 2.5  # times the way that would do, were they evenly spread
_NOWHERE = Q(pk__in=())  # what asks for no term at all is nowhere


class Search:
    """One person's mail, as far as a query asks for it."""

    def __init__(self, person: User, query: Query) -> None:
        self.person = person
        self.query = query
        self.terms = self._terms("has")
        self.about_message = self._about_message()
        self.reply = replied(person, query.code)

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        """Return the first so many of a stretch of the list."""
        found = self._among_latest(place, order, count)
        if ENOUGH <= len(found) < count:
            found = self._among_all(place & _stretch_of(found, count), order, count)
        if len(found) < count:
            found = self._among_all(place, order, count)
        return found

    def _among_latest(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        latest = self._entries(place).order_by(*order)[: self._looked_at(count)]
        messages = self._messages(Q(pk__in=latest.values("pk")))
        if self.terms:
            such = SearchEntry.objects.filter(self._terms("holds"), pk=OuterRef("pk"))
            messages = messages.filter(Exists(such))
        for condition in self.recipients:
            those = Recipient.objects.filter(condition, message=OuterRef("pk"))
            messages = messages.filter(Exists(those))
        return list(messages.order_by(*order)[:count])

    def _looked_at(self, count: int) -> int:
        """Return how much of the latest mail is worth a look."""
        if not self.terms and not self.about_message and not self.recipients:
            return count  # all of it is meant
        return LATEST_TEXTS if self.query.body or self.query.words else LATEST

    def _among_all(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        messages = self._messages(place & self._within_days())
        for condition in self.recipients:
            those = Recipient.objects.filter(condition, sender_key=self.person.pk)
            messages = messages.filter(pk__in=those.order_by().values("message"))
        if self.terms:
            entries = self._entries(place).filter(self.terms)
            if not self.about_message and not self.recipients:
                # They know the order too, and need not meet all their messages for it.
                entries = entries.order_by(*_sorted_by(order))[:count]
            messages = messages.filter(pk__in=entries.values("pk"))
        return list(messages.order_by(*_sorted_by(order))[:count])

    def _entries(self, place: Q) -> QuerySet[SearchEntry]:
        """Return what there is at that place of the list of all mail."""
        mine = Q(owner_key=self.person.pk)
        return SearchEntry.objects.filter(mine & place & self._within_days()).order_by()

    def _messages(self, condition: Q) -> MessageQuerySet:
        mine = Message.objects.visible_to(self.person).filter(condition & self.about_message)
        for role, field in ((Role.CC, "cc"), (Role.BCC, "bcc")):
            for text in getattr(self.query, field):
                mine = mine.filter(_names(role, field, text))
        return mine.only(*LISTED)

    @property
    def recipients(self) -> list[Q]:
        """What some recipient has to be."""
        return [condition for condition in (self.reply, self.ended) if condition]

    @property
    def ended(self) -> Q:
        """The state asked for, where it is one of recipients alone."""
        state = self.query.state
        return Q(ended_as=State(state)) if state and state not in Status.values else Q()

    def _within_days(self) -> Q:
        days = Q()
        if self.query.after:
            days &= Q(listed_at__gte=_midnight(self.query.after))
        if self.query.before:
            days &= Q(listed_at__lt=_midnight(self.query.before))
        return days

    def _about_message(self) -> Q:
        asked = Q()
        if self.query.message_id:
            asked &= Q(message_id=self.query.message_id)
        if self.query.folder:
            is_failed = self.query.folder == Folder.FAILED  # those with an open recipient, too
            asked &= Q(has_failure=True) if is_failed else Q(folder=self.query.folder)
        if state := self.query.state:
            if state not in RARE:  # which have an index of their own
                asked &= Q(folder__in=folder_of_state(state))
            if state in Status.values:
                asked &= _has_status(state)
        return asked

    def _terms(self, ask: str) -> Q:
        """Return the condition on entries; they are asked by the index, or one by one."""
        query = self.query
        asked = Q()
        for kind, texts in (
            (PEOPLE, (*query.to, *query.cc, *query.bcc)),
            (SENDER, query.sender),
            (SUBJECT, query.subject),
        ):
            for text in texts:
                asked &= self._in_head(ask, (kind,), text)
        for text in query.body:
            asked &= self._in_body(ask, text)
        for text in query.words:
            asked &= self._in_head(ask, (SUBJECT, PEOPLE, SENDER), text) | self._in_body(ask, text)
        facts = [f"tag={fold(tag)}" for tag in query.tag]
        facts += ["attachment"] if query.has_files else []
        for fact in facts:
            asked &= _in("head", ask, has_phrase(self.person.pk, (FACT,), [fact]))
        return asked

    def _in_head(self, ask: str, kinds: Sequence[str], text: str) -> Q:
        owner, terms = self.person.pk, _phrase(text)
        # An address is a term of its own, and so is a domain with its @.
        if "@" in text and not text.split()[1:] and PEOPLE in kinds:
            return _in("head", ask, has_phrase(owner, (PEOPLE,), [fold(text)]))
        if not terms:
            return _NOWHERE
        asked = has_phrase(owner, kinds, terms).groups[0]
        if isinstance(terms, Whole) and PEOPLE in kinds:  # as jane.do or example.co
            begun = (fold(text), f"@{fold(text)}")
            asked += tuple((head_term(owner, PEOPLE, term),) for term in begun)
        return _in("head", ask, Wanted((asked,)))

    def _in_body(self, ask: str, text: str) -> Q:
        terms = _phrase(text)
        phrase = type(terms)(body_term(self.person.pk, term) for term in terms)
        return _in("body", ask, Wanted(((phrase,),))) if terms else _NOWHERE


def _names(role: Role, field: str, text: str) -> Q:
    """Return whether a message, or what was typed in a draft, names this person in the role."""
    named = Q(address__icontains=text) | Q(name__icontains=text)
    those = Recipient.objects.filter(named, role=role, message=OuterRef("pk"))
    return Q(Exists(those)) | Q(status=Status.DRAFT, **{f"draft__{field}__icontains": text})


def _has_status(status: str) -> Q:
    """Ask for the status as it is shown: only recipients know what is being sent."""
    if status == Status.SENDING:
        return Q(is_being_sent())
    stored = Q(status=status)
    return stored & ~Q(is_being_sent()) if status in {Status.QUEUED, Status.DEFERRED} else stored


def _in(column: str, ask: str, wanted: Wanted) -> Q:
    return Q(**{f"{column}__{ask}": wanted})


def _phrase(text: str) -> tuple[str, ...]:
    """Return the terms of a text; what signs join, as in a domain, is taken as it stands."""
    terms = terms_asked(text)
    return Whole(terms) if terms[1:] and not text.split()[1:] else tuple(terms)


def _sorted_by(order: Sequence[str]) -> list[OrderBy]:
    """Sort by what no index is known to have in order.

    Else PostgreSQL, which sees the limit, may hope to meet enough while it walks down the list, and
    walks a million mails where there are few.
    """
    return [
        OrderBy(Coalesce(name.lstrip("-"), name.lstrip("-")), descending=name.startswith("-"))
        for name in order
    ]


def _stretch_of(found: Sequence[Message], count: int) -> Q:
    """Return how far one has to look for so many, as thick as those found lie."""
    first, last = found[0].listed_at, found[-1].listed_at
    further = (last - first) / len(found) * (count - len(found)) * FARTHER
    # Downwards that is a moment before, upwards one behind.
    return Q(listed_at__gte=last + further) if last < first else Q(listed_at__lte=last + further)


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time.min))
