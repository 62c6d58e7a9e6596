"""The words of a query as conditions on search entries, of sent and of received messages alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from outbox.mail.search_terms import fold, terms_asked
from outbox.models.search import FACT, PEOPLE, SENDER, SUBJECT, body_term, has_phrase, head_term
from outbox.models.terms import Wanted, Whole
from outbox.web.search.query import Query

_NOWHERE = Q(pk__in=())  # a text without terms matches no message


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a query in the entries of one owner.

    The entries of received messages have the addresses of the sender as whole terms, too.
    """

    query: Query
    owner: int
    has_sender_addresses: bool = False

    @property
    def _addressed(self) -> tuple[str, ...]:
        return (PEOPLE, SENDER) if self.has_sender_addresses else (PEOPLE,)

    def condition(self, ask: str) -> Q:
        """Return the condition on entries: `has` uses the index, `holds` checks a single row."""
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
            asked &= _in("head", ask, has_phrase(self.owner, (FACT,), [fact]))
        return asked

    def _in_head(self, ask: str, kinds: Sequence[str], text: str) -> Q:
        owner, terms = self.owner, _phrase(text)
        # An address is one term, and so is a domain with its @.
        whole = [kind for kind in kinds if kind in self._addressed]
        if "@" in text and not text.split()[1:] and whole:
            return _in("head", ask, has_phrase(owner, whole, [fold(text)]))
        if not terms:
            return _NOWHERE
        asked = has_phrase(owner, kinds, terms).groups[0]
        if isinstance(terms, Whole):  # such as jane.do or example.co
            begun = (fold(text), f"@{fold(text)}")
            asked += tuple((head_term(owner, kind, term),) for kind in whole for term in begun)
        return _in("head", ask, Wanted((asked,)))

    def _in_body(self, ask: str, text: str) -> Q:
        terms = _phrase(text)
        phrase = type(terms)(body_term(self.owner, term) for term in terms)
        return _in("body", ask, Wanted(((phrase,),))) if terms else _NOWHERE


def _in(column: str, ask: str, wanted: Wanted) -> Q:
    return Q(**{f"{column}__{ask}": wanted})


def _phrase(text: str) -> tuple[str, ...]:
    """Return the terms of a text; terms joined by signs, as in a domain, are one phrase."""
    terms = terms_asked(text)
    return Whole(terms) if terms[1:] and not text.split()[1:] else tuple(terms)
