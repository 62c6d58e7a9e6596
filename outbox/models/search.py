"""The full-text search of a user's messages: one entry per message.

Queueing does not write entries. Drafts and composed messages get theirs when they are saved.
Messages that apps queue for a user get theirs from the sweep, some seconds later. App messages are
in no user's list and get none. Every term begins with the owner, so that searching one user's
messages is as fast on a site with many users. Operators search all messages by entries of their own
(`outbox.models.site_search`), which are written in the same steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db import models, transaction
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, estimate_entries, parse_address_list
from outbox.mail.search_terms import fold, terms_of
from outbox.models.message import Message, Source
from outbox.models.owner_key import owner_key
from outbox.models.site_search import SiteEntry, remove_site_entries, write_site_entries
from outbox.models.states import Status
from outbox.models.terms import MAX_TERMS, Phrase, TermsField, TermsIndex, Wanted, Whole

# The kinds of terms of the head. The terms of the body have their own column.
SUBJECT, PEOPLE, SENDER, FACT = "s", "t", "f", "is"
TEXT_MAX = 100_000  # characters of a body that are indexed
LOOK_BACK = 5_000  # ids, since a transaction may commit after that many later messages


class SearchEntry(models.Model):
    """The search terms of one message."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="search_entry"
    )
    owner_key = models.BigIntegerField()
    listed_at = models.DateTimeField()  # the message's
    head = TermsField()  # subject, people, sender, facts
    body = TermsField()

    class Meta:
        verbose_name = _("search entry")
        verbose_name_plural = _("search entries")
        indexes = [
            # The messages of one user, newest first.
            models.Index(fields=["owner_key", "-listed_at", "-message"], name="outbox_search_list"),
            # A term, however rare it is.
            TermsIndex(fields=["head"], name="outbox_search_head"),
            TermsIndex(fields=["body"], name="outbox_search_body"),
        ]

    def __str__(self) -> str:
        return f"search entry of message {self.pk}"


SENT_MARK, RECEIVED_MARK = 1, 2  # keys of SearchMark


class SearchMark(models.Model):
    """The progress of the sweep: all messages up to this id have been indexed.

    There is one row for sent messages, and one for received ones.
    """

    upto = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("search mark")
        verbose_name_plural = _("search marks")

    def __str__(self) -> str:
        return f"indexed up to message {self.upto}"

    @classmethod
    def lock(cls, key: int, using: str) -> SearchMark | None:
        """Return a row, locked, or None while another transaction has it."""
        marks = cls.objects.using(using).select_for_update(skip_locked=True).filter(pk=key)
        mark = marks.first()
        if mark is None:  # it is locked, or this is the first sweep
            cls.objects.using(using).get_or_create(pk=key)
            mark = marks.first()
        return mark

    def move_to(self, upto: int) -> None:
        """Store the progress, which never decreases."""
        if upto > self.upto:
            self.upto = upto
            self.save(update_fields=["upto"])


def head_term(owner_key: int, kind: str, term: str) -> str:
    """Return a term of the head as it is stored and searched for."""
    return f"{owner_key}{kind}:{term}"


def body_term(owner_key: int, term: str) -> str:
    """Return a term of the body as it is stored and searched for."""
    return f"{owner_key}:{term}"


def has_phrase(owner_key: int, kinds: Sequence[str], terms: Phrase) -> Wanted:
    """Return a condition: these terms in a row, in any of the kinds."""
    form = Whole if isinstance(terms, Whole) else tuple
    alternatives = (form(head_term(owner_key, kind, term) for term in terms) for kind in kinds)
    return Wanted((tuple(alternatives),))


def index_messages(message_ids: Iterable[int], using: str) -> None:
    """Write the entries of these messages, in the caller's transaction or in its own.

    The site-wide entries of those that are drafts again are removed.
    """
    _write_entries(message_ids := list(message_ids), using)
    remove_site_entries(message_ids, using)


def _write_entries(message_ids: Iterable[int], using: str) -> None:
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


def index_new(using: str, at_once: int) -> int:
    """Write missing entries, oldest first; return their number. One process does so at a time."""
    with transaction.atomic(using=using):
        mark = SearchMark.lock(SENT_MARK, using)
        if mark is None:
            return 0
        queued = Message.objects.using(using).exclude(status=Status.DRAFT)
        newest = queued.aggregate(newest=Max("pk"))["newest"] or 0
        missing = queued.filter(pk__gt=mark.upto - LOOK_BACK, site_entry__isnull=True)
        found = list(missing.order_by("pk").values_list("pk", flat=True)[:at_once])
        if found:
            # Composed messages have their own entry already: it was written with the draft.
            of_apps = Message.objects.using(using).filter(pk__in=found, search_entry__isnull=True)
            _write_entries(list(of_apps.values_list("pk", flat=True)), using)
            write_site_entries(found, using)
        mark.move_to(found[-1] if len(found) == at_once else newest)
    return len(found)


def reindex(using: str, at_once: int) -> Iterator[int]:
    """Write every entry again, and yield after each batch the number of messages so far.

    Each batch is a transaction of its own, so that delivery continues in between.
    """
    SearchEntry.objects.using(using).filter(message__owner__isnull=True).delete()
    SiteEntry.objects.using(using).filter(message__status=Status.DRAFT).delete()
    messages = Message.objects.using(using).order_by("pk")
    last = looked_at = 0
    while keys := list(messages.filter(pk__gt=last).values_list("pk", flat=True)[:at_once]):
        _reindex_existing(keys, using)
        last = keys[-1]
        looked_at += len(keys)
        yield looked_at


def _reindex_existing(message_ids: list[int], using: str) -> None:
    """Write entries of messages that may be discarded at the same time."""
    with transaction.atomic(using=using):
        there = Message.objects.using(using).filter(pk__in=message_ids).order_by("pk")
        locked = there.select_for_update(no_key=True).values_list("pk", flat=True)
        keys = list(locked)
        _write_entries(keys, using)
        write_site_entries(keys, using)


def _entry(message: Message) -> SearchEntry:
    assert message.owner_id is not None
    owner = owner_key(message.owner_id)
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
        yield from ((PEOPLE, term) for term in (*address_terms(address), *terms_of(name)))
    yield from ((SENDER, term) for term in terms_of(message.from_header))
    yield from ((FACT, fold(fact)) for fact in _facts(message))


def _people(message: Message) -> Iterator[tuple[str, str]]:
    if not message.is_draft:
        yield from ((one.name, one.address) for one in message.recipients.all())
        return
    draft = message.draft
    for typed in (draft.to, draft.cc, draft.bcc):
        if estimate_entries(typed) > get_conf().max_recipients:  # it cannot be sent as it is
            continue
        try:
            yield from ((one.name, one.spec) for one in parse_address_list(typed))
        except AddressError:  # it was not typed completely
            yield typed, ""


def address_terms(address: str) -> Iterator[str]:
    """Yield an address as a whole, its domain, and the words in it."""
    folded = fold(address)
    yield folded
    if "@" in folded:
        yield folded[folded.rindex("@") :]
    yield from terms_of(address)


def _facts(message: Message) -> Iterator[str]:
    """Yield the searchable facts about a message besides its words."""
    if message.attachment_count:
        yield "attachment"
    yield f"account={message.account_id}"
    yield from (f"tag={tag}" for tag in message.tags)


def _text(message: Message) -> str:
    # Parsers of MIME and HTML, which a process that only delivers does not need.
    from outbox.mail.displayed import text_and_html
    from outbox.mail.html import html_to_text

    if message.is_sensitive:
        return ""
    if message.is_draft:
        return (message.draft.text or html_to_text(message.draft.html))[:TEXT_MAX]
    try:
        text, html = text_and_html(message.source.read())
    except (Source.DoesNotExist, OSError):
        return ""
    return (text or html_to_text(html))[:TEXT_MAX]
