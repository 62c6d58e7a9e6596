"""What a person's mail is found by: one entry a message, filled beside the queue.

Queueing pays nothing for it. A draft and a mail composed here get their entry when they are saved;
what apps queue for a person gets it from the sweep, some seconds later. Mail without an owner is on
nobody's list and gets none. The owner stands in every term, so that the index of one person's mail
is as quick on a site of many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db import models, transaction
from django.db.models import Max

from outbox.mail.addresses import AddressError, parse_address_list
from outbox.mail.displayed import text_and_html
from outbox.mail.html import html_to_text
from outbox.mail.terms import fold, terms_of
from outbox.models.message import Message, Source
from outbox.models.states import Status
from outbox.models.terms import MAX_TERMS, Phrase, TermsField, TermsIndex, Wanted, Whole

# How a term says where it was found; a body's terms have a column of their own.
SUBJECT, PEOPLE, SENDER, FACT = "s", "t", "f", "is"
TEXT_MAX = 100_000  # characters of a body that are looked at
_LOOK_BACK = 5_000  # messages queued by whoever commits late, behind as many others


class SearchEntry(models.Model):
    """The terms of one message."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="search_entry"
    )
    owner_key = models.BigIntegerField()
    listed_at = models.DateTimeField()  # the message's
    head = TermsField()  # subject, people, sender, facts
    body = TermsField()

    class Meta:
        indexes = [
            # All mail of one person, newest first, and what of it is recent.
            models.Index(fields=["owner_key", "-listed_at", "-message"], name="outbox_search_list"),
            # A word, whoever's mail has it, however rare it is.
            TermsIndex(fields=["head"], name="outbox_search_head"),
            TermsIndex(fields=["body"], name="outbox_search_body"),
        ]

    def __str__(self) -> str:
        return f"search entry of message {self.pk}"


class SearchMark(models.Model):
    """How far the sweep has come: up to this message all that were committed have their entry."""

    upto = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"indexed up to message {self.upto}"


def head_term(owner_key: int, kind: str, term: str) -> str:
    """Write a term of the head as it is stored and asked for."""
    return f"{owner_key}{kind}:{term}"


def body_term(owner_key: int, term: str) -> str:
    """Write a term of the body as it is stored and asked for."""
    return f"{owner_key}:{term}"


def has_phrase(owner_key: int, kinds: Sequence[str], terms: Phrase) -> Wanted:
    """Ask for the terms in a row in any of the kinds."""
    form = Whole if isinstance(terms, Whole) else tuple
    phrases = (form(head_term(owner_key, kind, term) for term in terms) for kind in kinds)
    return Wanted((tuple(phrases),))


def put_in(message_ids: Iterable[int], using: str) -> None:
    """Write the entries of these messages anew, inside the caller's transaction or its own."""
    messages = (
        Message.objects.using(using)
        .filter(pk__in=list(message_ids), owner__isnull=False)
        .select_related("draft", "source")
        .prefetch_related("recipients")
        .order_by("pk")
    )
    SearchEntry.objects.using(using).bulk_create(
        [_entry(message) for message in messages],
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["owner_key", "listed_at", "head", "body"],
    )


def put_in_new(using: str, at_once: int) -> int:
    """Write entries that are missing, oldest first; return how many. One process at a time does."""
    with transaction.atomic(using=using):
        SearchMark.objects.using(using).get_or_create(pk=1)
        marks = SearchMark.objects.using(using).select_for_update(skip_locked=True)
        mark = marks.filter(pk=1).first()
        if mark is None:
            return 0
        queued = Message.objects.using(using).exclude(status=Status.DRAFT)
        newest = queued.aggregate(newest=Max("pk"))["newest"] or 0
        missing = queued.filter(
            pk__gt=mark.upto - _LOOK_BACK, owner__isnull=False, search_entry__isnull=True
        )
        found = list(missing.order_by("pk").values_list("pk", flat=True)[:at_once])
        put_in(found, using)
        upto = found[-1] if len(found) == at_once else newest
        if upto > mark.upto:
            mark.upto = upto
            mark.save(update_fields=["upto"])
    return len(found)


def put_in_anew(using: str, at_once: int) -> Iterator[int]:
    """Write every entry anew, and yield after each so many messages how many were looked at.

    Each lot is a transaction of its own, so that mail goes on meanwhile.
    """
    SearchEntry.objects.using(using).filter(message__owner__isnull=True).delete()
    owned = Message.objects.using(using).filter(owner__isnull=False).order_by("pk")
    last = looked_at = 0
    while keys := list(owned.filter(pk__gt=last).values_list("pk", flat=True)[:at_once]):
        _put_in_what_stays(keys, using)
        last = keys[-1]
        looked_at += len(keys)
        yield looked_at


def _put_in_what_stays(message_ids: list[int], using: str) -> None:
    """Write entries of messages that may be discarded while it does."""
    with transaction.atomic(using=using):
        there = Message.objects.using(using).filter(pk__in=message_ids).order_by("pk")
        locked = there.select_for_update(no_key=True).values_list("pk", flat=True)
        put_in(list(locked), using)


def _entry(message: Message) -> SearchEntry:
    assert message.owner_id is not None
    owner = message.owner_id
    return SearchEntry(
        message=message,
        owner_key=owner,
        listed_at=message.listed_at,
        head=[head_term(owner, kind, term) for kind, term in _head(message)],
        body=[body_term(owner, term) for term in terms_of(_text(message))][:MAX_TERMS],
    )


def _head(message: Message) -> Iterator[tuple[str, str]]:
    yield from ((SUBJECT, term) for term in terms_of(message.subject))
    for name, address in _people(message):
        yield from ((PEOPLE, term) for term in (*_address_terms(address), *terms_of(name)))
    yield from ((SENDER, term) for term in terms_of(message.from_header))
    yield from ((FACT, fold(fact)) for fact in _facts(message))


def _people(message: Message) -> Iterator[tuple[str, str]]:
    if not message.is_draft:
        yield from ((one.name, one.address) for one in message.recipients.all())
        return
    draft = message.draft
    for typed in (draft.to, draft.cc, draft.bcc):
        try:
            yield from ((one.name, one.spec) for one in parse_address_list(typed))
        except AddressError:  # as far as it was typed
            yield typed, ""


def _address_terms(address: str) -> Iterator[str]:
    """Find an address whole, by its domain, and by the words in it."""
    folded = fold(address)
    yield folded
    if "@" in folded:
        yield folded[folded.rindex("@") :]
    yield from terms_of(address)


def _facts(message: Message) -> Iterator[str]:
    """Name what is asked about a message beside its words."""
    if message.attachment_count:
        yield "attachment"
    yield f"account={message.account_id}"
    yield from (f"tag={tag}" for tag in message.tags)


def _text(message: Message) -> str:
    if message.is_draft:
        return (message.draft.text or html_to_text(message.draft.html))[:TEXT_MAX]
    try:
        text, html = text_and_html(message.source.read())
    except (Source.DoesNotExist, OSError):
        return ""
    return (text or html_to_text(html))[:TEXT_MAX]
