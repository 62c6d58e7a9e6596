"""The full-text search of a user's received messages: one entry per message.

The entries resemble those of sent messages (`outbox.models.search`), so that one query searches
both. They are written when a message is stored, and the sweep writes those that are missing.
Messages without an owner get none.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator

from django.db import models, transaction
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from outbox.mail.search_terms import fold, terms_of
from outbox.models.inbound import InboundMessage, InboundSource
from outbox.models.owner_key import owner_key
from outbox.models.search import (
    FACT,
    LOOK_BACK,
    PEOPLE,
    RECEIVED_MARK,
    SENDER,
    SUBJECT,
    TEXT_MAX,
    SearchMark,
    address_terms,
    body_term,
    head_term,
)
from outbox.models.terms import MAX_TERMS, TermsField, TermsIndex

logger = logging.getLogger(__name__)
_HEADER_MAX = 20_000  # characters of one header field that are indexed
_ADDRESS = re.compile(r"[^\s<>,;:\"()@]{1,64}@[^\s<>,;:\"()@]{1,255}")


class InboundEntry(models.Model):
    """The search terms of one received message."""

    message = models.OneToOneField(
        InboundMessage, on_delete=models.CASCADE, primary_key=True, related_name="search_entry"
    )
    owner_key = models.BigIntegerField()
    listed_at = models.DateTimeField()  # when the message was received
    head = TermsField()  # subject, people, sender, facts
    body = TermsField()

    class Meta:
        verbose_name = _("search entry of a received message")
        verbose_name_plural = _("search entries of received messages")
        indexes = [
            # The messages of one user, newest first.
            models.Index(
                fields=["owner_key", "-listed_at", "-message"], name="outbox_inbound_entries"
            ),
            # A term, however rare it is.
            TermsIndex(fields=["head"], name="outbox_inbound_head"),
            TermsIndex(fields=["body"], name="outbox_inbound_body"),
        ]

    def __str__(self) -> str:
        return f"search entry of received message {self.pk}"


def index_received(message_ids: Collection[int], using: str) -> None:
    """Write the entries of these messages, with one query and one statement.

    It runs in the caller's transaction or in its own.
    """
    messages = (
        InboundMessage.objects.using(using)
        .filter(pk__in=message_ids, owner__isnull=False)
        .select_related("source")
        .order_by("pk")
    )
    InboundEntry.objects.using(using).bulk_create(
        [_entry(message) for message in messages],
        update_conflicts=True,
        unique_fields=["message"],
        update_fields=["owner_key", "listed_at", "head", "body"],
    )


def index_new_received(using: str, at_once: int) -> int:
    """Write missing entries, oldest first; return their number. One process does so at a time."""
    with transaction.atomic(using=using):
        mark = SearchMark.lock(RECEIVED_MARK, using)
        if mark is None:
            return 0
        messages = InboundMessage.objects.using(using).order_by("pk")
        newest = messages.aggregate(newest=Max("pk"))["newest"] or 0
        missing = messages.filter(
            pk__gt=mark.upto - LOOK_BACK, owner__isnull=False, search_entry__isnull=True
        )
        # Otherwise an entry could be written of a message that its owner just deleted.
        locked = missing.select_for_update(no_key=True, of=("self",))
        found = list(locked.values_list("pk", flat=True)[:at_once])
        index_received(found, using)
        mark.move_to(found[-1] if len(found) == at_once else newest)
    return len(found)


def reindex_received(using: str, at_once: int) -> Iterator[int]:
    """Write every entry again, and yield after each batch the number of messages so far."""
    InboundEntry.objects.using(using).filter(message__owner__isnull=True).delete()
    messages = InboundMessage.objects.using(using).order_by("pk")
    last = looked_at = 0
    while keys := list(messages.filter(pk__gt=last).values_list("pk", flat=True)[:at_once]):
        with transaction.atomic(using=using):
            # Otherwise an entry could be written of a message that its owner just deleted.
            there = messages.filter(pk__in=keys).select_for_update(no_key=True)
            index_received(list(there.values_list("pk", flat=True)), using)
        last = keys[-1]
        looked_at += len(keys)
        yield looked_at


def _entry(message: InboundMessage) -> InboundEntry:
    owner = owner_key(message.owner_id)
    source = _source(message)
    try:
        head, body = list(_head(message, source)), list(terms_of(_text(source)))[:MAX_TERMS]
    except Exception:
        # A fault of the parser must not prevent that a message is stored, nor stop the sweep.
        logger.exception("The text of received message %d cannot be found.", message.pk)
        head, body = list(_head(message, b"")), []
    return InboundEntry(
        message=message,
        owner_key=owner,
        listed_at=message.received_at,
        head=[head_term(owner, kind, term) for kind, term in head],
        body=[body_term(owner, term) for term in body],
    )


def _source(message: InboundMessage) -> bytes:
    try:
        return message.source.read()
    except (InboundSource.DoesNotExist, OSError):
        return b""


def _head(message: InboundMessage, source: bytes) -> Iterator[tuple[str, str]]:
    from outbox.mail.parts import decoded_headers  # parsers that a worker may not need

    yield from ((SUBJECT, term) for term in terms_of(message.subject))
    sender = message.from_header[:_HEADER_MAX]
    yield from ((SENDER, term) for term in _people(sender))
    for name, _raw, value in decoded_headers(source):
        if name.lower() in {"to", "cc"}:
            yield from ((PEOPLE, term) for term in _people(value[:_HEADER_MAX]))
    if message.attachment_count:
        yield FACT, fold("attachment")
    yield FACT, f"account={message.account_id}"


def _people(header: str) -> Iterator[str]:
    """Yield the words of an address header, then its addresses and their domains as a whole."""
    yield from terms_of(header)
    for found in _ADDRESS.findall(header):
        yield from address_terms(found)


def _text(source: bytes) -> str:
    from outbox.mail.displayed import text_and_html
    from outbox.mail.html import html_to_text

    text, html = text_and_html(source)
    return (text or html_to_text(html))[:TEXT_MAX]
