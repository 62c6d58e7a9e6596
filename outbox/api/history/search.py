"""The search line of the sent history.

Its kind follows from the text: an address or the beginning of one, a domain with its `@`, a
Message-ID, the queue id of a remote server, or words of a subject. A prefix such as `subject:`
decides it, and `reply:` finds failures by words of the server's reply. No text is searched inside
words, and no body is searched.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from outbox.api.history.conditions import NOTHING, Conditions
from outbox.mail.replies import bare_message_id
from outbox.mail.search_terms import terms_asked
from outbox.mail.wire_ids import queue_id_of
from outbox.models.reply_group import with_words
from outbox.models.site_search import domain_term, subject_term
from outbox.models.terms import Phrase, Whole
from outbox.texts import storable

TEXT_MAX = 1_100  # characters; a Message-ID may have 998
QUEUE_ID_MAX = 100
REPLY_GROUPS_MAX = 500  # different replies that have the words
HELP = _(
    "A recipient's address or its beginning, @domain, words of the subject, a Message-ID, or the "
    "queue id of the remote server. To search one of them only, begin with to:, subject:, id: or "
    "queue:. To search the replies to failed recipients, begin with reply:."
)
_NOWHERE = Conditions(messages=NOTHING)


def alternatives_of(text: str) -> list[Conditions]:
    """Return the conditions of which a message has to meet one."""
    text = " ".join(storable(text[:TEXT_MAX]).split())
    prefix, colon, rest = text.partition(":")
    if colon and (search := _BY_PREFIX.get(prefix.lower())):
        wire = _wire_id(rest) if search is _message_id else []
        return [search(rest.strip()) if rest.strip() else _NOWHERE, *wire]
    if not text:
        return [Conditions()]
    if text.startswith("@"):
        return [_domain(text)]
    if "@" in text:
        return [_message_id(text), *_wire_id(text), _recipient(text)]
    if " " in text or '"' in text:
        return [_subject(text)]
    return [_queue_id(text), _recipient(text), _subject(text)]


def _recipient(text: str) -> Conditions:
    if text.startswith("@"):
        return _domain(text)
    # `LOWER(address) LIKE …` is what the index of addresses serves.
    return Conditions(recipients=(Q(folded__startswith=text.lower()),))


def _domain(text: str) -> Conditions:
    domain = text.strip("@")
    return Conditions(terms=(((domain_term(domain),),),)) if domain else _NOWHERE


def _message_id(text: str) -> Conditions:
    return Conditions(messages=Q(message_id=bare_message_id(text)), is_key=True)


def _wire_id(text: str) -> list[Conditions]:
    """Return the condition for a Message-ID that the server gave: that of its queue id."""
    queue_id = queue_id_of(bare_message_id(text))
    return [_queue_id(queue_id)] if queue_id else []


def _queue_id(text: str) -> Conditions:
    if len(text) > QUEUE_ID_MAX:
        return _NOWHERE
    # SQLite uses the partial index only if the query has its condition.
    return Conditions(recipients=(Q(remote_queue_id=text) & ~Q(remote_queue_id=""),), is_key=True)


def _subject(text: str) -> Conditions:
    """Return the condition that every word occurs in the subject."""
    groups = tuple((_as_subject(phrase),) for phrase in _word_groups(text))
    return Conditions(terms=groups) if groups else _NOWHERE


def _as_subject(phrase: Phrase) -> Phrase:
    terms = tuple(map(subject_term, phrase))
    return Whole(terms) if isinstance(phrase, Whole) else terms


def _reply(text: str) -> Conditions:
    """Return the condition that a recipient failed with a reply in which every word occurs."""
    found = _word_groups(text)
    if not found:
        return _NOWHERE
    # The groups are few, and their recipients have an index.
    groups = list(with_words(found).values_list("pk", flat=True)[:REPLY_GROUPS_MAX])
    return Conditions(recipients=(Q(reply_key__in=groups),)) if groups else _NOWHERE


def _word_groups(text: str) -> list[Phrase]:
    """Return the words of a text, and each part in quotation marks as one phrase."""
    found: list[Phrase] = []
    for number, piece in enumerate(text.split('"')):
        for words in [piece] if number % 2 else piece.split():
            terms = tuple(terms_asked(words))
            # Terms joined by signs, as in a version or a domain, are one phrase without a prefix.
            joined = len(terms) > 1 and " " not in words.strip()
            found += [Whole(terms) if joined else terms] if terms else []
    return found


_BY_PREFIX: dict[str, Callable[[str], Conditions]] = {
    "to": _recipient,
    "subject": _subject,
    "id": _message_id,
    "queue": _queue_id,
    "reply": _reply,
}
