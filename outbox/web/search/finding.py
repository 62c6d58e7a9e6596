"""Finding mail, newest first, in a time that does not grow with the mailbox.

Every search first looks at the latest mail alone: what is common is there. What is rare is not, and
there an index has few rows to give: the terms', the replies', the Message-IDs', the folder's. So
neither is ever sorted by the hundred thousand. A page costs two queries at most.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from outbox.mail.terms import fold, terms_asked
from outbox.models import Message, Recipient, SearchEntry, State, Status
from outbox.models.message import MessageQuerySet
from outbox.models.search import FACT, PEOPLE, SENDER, SUBJECT, body_term, has_phrase
from outbox.models.terms import Wanted
from outbox.web.messages.rows import LISTED
from outbox.web.search.query import Query, folder_of_state

LATEST = 3_000  # messages looked at first
FENCE = 1_000_000_000  # a limit that limits nothing, behind which PostgreSQL plans afresh
_NOWHERE = Q(pk__in=())  # what asks for no term at all is nowhere
_REFUSED = 400  # from here on replies have an index


class Search:
    """One person's mail, as far as a query asks for it."""

    def __init__(self, person: User, query: Query) -> None:
        self.person = person
        self.query = query
        self.terms = self._terms()
        self.about_message = self._about_message()
        self.reply = _reply(query.code)

    @property
    def is_bounded(self) -> bool:
        """Tell whether only the latest mail was looked at: replies that are no refusal are many."""
        asks_for_little = self.terms or self.query.message_id or self.query.folder
        return bool(self.reply) and self.query.code < "4" and not asks_for_little

    def find(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        """Return the first so many of a stretch of the list."""
        found = self._among_latest(place, order, count)
        if len(found) == count or self.is_bounded:
            return found
        return self._everywhere(place, order, count)

    def _entries(self, place: Q) -> Q:
        return Q(owner_key=self.person.pk) & place & self._within_days()

    def _among_latest(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        latest = SearchEntry.objects.filter(self._entries(place)).order_by(*order)
        messages = self._messages(Q(pk__in=latest.values("pk")[:LATEST]))
        if self.terms:
            within = SearchEntry.objects.filter(self.terms, pk=OuterRef("pk"))
            messages = messages.filter(Exists(within))
        return list(self._replied(messages).order_by(*order)[:count])

    def _everywhere(self, place: Q, order: tuple[str, ...], count: int) -> list[Message]:
        messages = self._messages(place & self._within_days())
        if self.terms:
            entries = SearchEntry.objects.filter(self._entries(place) & self.terms)
            alone = not self.about_message and not self.reply
            # The entries know the order too: alone, they need not meet their messages for it.
            rows = entries.order_by(*order)[:count] if alone else entries.order_by()[:FENCE]
            messages = messages.filter(pk__in=rows.values("pk"))
            messages = self._replied(messages)
        elif self.reply and self.query.code >= "4":
            refused = Recipient.objects.filter(
                self.reply, sender_key=self.person.pk, reply_code__gte=_REFUSED
            )
            messages = messages.filter(pk__in=refused.order_by().values("message")[:FENCE])
        else:
            messages = self._replied(messages)
        return list(messages.order_by(*order)[:count])

    def _messages(self, condition: Q) -> MessageQuerySet:
        mine = Message.objects.visible_to(self.person)
        return mine.filter(condition & self.about_message).only(*LISTED)

    def _replied(self, messages: MessageQuerySet) -> MessageQuerySet:
        if not self.reply:
            return messages
        return messages.filter(Exists(Recipient.objects.filter(self.reply, message=OuterRef("pk"))))

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
            asked &= Q(folder=self.query.folder)
        if state := self.query.state:
            asked &= Q(folder__in=folder_of_state(state))
            if state in Status.values:
                asked &= Q(status=state)
            else:
                those = Recipient.objects.filter(message=OuterRef("pk"), state=State(state))
                asked &= Q(Exists(those))
        return asked

    def _terms(self) -> Q:
        query = self.query
        asked = Q()
        for kind, texts in ((PEOPLE, query.to), (SENDER, query.sender), (SUBJECT, query.subject)):
            for text in texts:
                asked &= self._in_head((kind,), text)
        for text in query.body:
            asked &= self._in_body(text)
        for text in query.words:
            asked &= self._in_head((SUBJECT, PEOPLE, SENDER), text) | self._in_body(text)
        facts = [f"tag={fold(tag)}" for tag in query.tag]
        facts += ["attachment"] if query.has_files else []
        for fact in facts:
            asked &= Q(head__has=has_phrase(self.person.pk, (FACT,), [fact]))
        return asked

    def _in_head(self, kinds: Sequence[str], text: str) -> Q:
        # An address is a term of its own, and so is a domain with its @.
        if "@" in text and not text.split()[1:]:
            return Q(head__has=has_phrase(self.person.pk, (PEOPLE,), [fold(text)]))
        terms = terms_asked(text)
        return Q(head__has=has_phrase(self.person.pk, kinds, terms)) if terms else _NOWHERE

    def _in_body(self, text: str) -> Q:
        terms = tuple(body_term(self.person.pk, term) for term in terms_asked(text))
        return Q(body__has=Wanted(((terms,),))) if terms else _NOWHERE


def _reply(code: str) -> Q:
    """Understand 5 and 5.1 as beginnings of the enhanced code, 5 and 550 as the code itself."""
    if not code:
        return Q()
    if len(code) == len("550") and code.isdigit():
        return Q(reply_code=int(code))
    begins = Q(reply_enhanced=code) | Q(reply_enhanced__startswith=f"{code}.")
    if code.isdigit():
        lowest = int(code) * 100
        return begins | Q(reply_code__gte=lowest, reply_code__lt=lowest + 100)
    return begins


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time.min))
