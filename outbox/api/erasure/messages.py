"""The messages of an address: deleted if they were to this address alone, else without it.

A message with other recipients keeps them, and keeps the row of this one with a placeholder, so
that its status and counts stay right. Its source is kept without the address if only header fields
have it, and is removed otherwise (docs/decisions/0025).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from outbox.db.clock import database_now
from outbox.mail.addresses import AddressError, parse_entry, quote_name, split_entries
from outbox.mail.dkim import without_hashes
from outbox.mail.traces import PLACEHOLDER, Traces
from outbox.models import (
    Attachment,
    Attempt,
    Draft,
    InboundReport,
    Message,
    Recipient,
    Source,
    State,
    Status,
    transitions,
)
from outbox.models.discarded_file import discard_files
from outbox.models.removal import delete_messages, remove_content, remove_transcripts
from outbox.models.search import SearchEntry, index_messages
from outbox.models.site_search import write_site_entries

_AT_ONCE = 100
_NAMED = 3  # recipients in `to_summary`
_SUMMARY_MAX, _SNIPPET_MAX = 200, 160
_TO = ("to", "cc", "bcc")
_TYPED = (*_TO, "reply_to")
_WRITTEN = ("text", "html")  # of a draft; its subject is in the message
_DRAFTS_AT_ONCE = 20  # with their texts
WHY = "The recipient's data was erased."
Row = TypeVar("Row", bound=Model)


@dataclass(slots=True)
class Changes:
    """What was done, and what could not be done yet."""

    deleted: int = 0  # messages
    changed: int = 0  # messages that keep other recipients
    sources_changed: int = 0
    sources_removed: int = 0
    drafts_deleted: int = 0
    files_removed: int = 0
    in_delivery: set[int] = field(default_factory=set)  # ids of messages
    received: set[int] = field(default_factory=set)  # ids of received messages that were changed


def recipients_of(traces: Traces, using: str) -> QuerySet[Recipient]:
    """Return the recipients with the address, found by the index."""
    return Recipient.objects.using(using).with_address_in(traces.spellings)


def end_delivery(traces: Traces, using: str) -> None:
    """Cancel what waits for the address. An uncertain delivery is not repeated."""
    for transition, to in (
        (transitions.CANCEL, State.CANCELLED),
        (transitions.RESOLVE, State.FAILED),
    ):
        sources = [state for state in transition.sources if state != State.SENDING]
        while True:
            with transaction.atomic(using=using):
                waiting = recipients_of(traces, using).filter(state__in=sources)
                rows = transitions.apply(
                    transition, waiting, to, now=database_now(using), why=WHY, limit=_AT_ONCE
                )
            if not rows:
                break


def last_expiry(message_ids: Collection[int], using: str) -> dt.datetime | None:
    """Return when the last open recipient of some messages expires; None if one does not.

    Held recipients and uncertain ones wait for a person.
    """
    recipients = Recipient.objects.using(using).filter(message__in=message_ids, final_at=None)
    ends = [
        expires_at if next_attempt_at is not None else None
        for expires_at, next_attempt_at in recipients.values_list("expires_at", "next_attempt_at")
    ]
    return None if None in ends else max(filter(None, ends), default=None)


def erase_received(traces: Traces, using: str, changes: Changes) -> None:
    """Erase the address from the messages that were to be sent to it."""
    last = 0
    while True:
        found = recipients_of(traces, using).filter(message__gt=last).order_by("message")
        ids = list(found.values_list("message_id", flat=True).distinct()[:_AT_ONCE])
        if not ids:
            return
        for message_id in ids:
            _erase_received(message_id, traces, using, changes)
        last = ids[-1]


def _erase_received(message_id: int, traces: Traces, using: str, changes: Changes) -> None:
    with transaction.atomic(using=using):
        recipients = Recipient.objects.using(using).filter(message=message_id)
        rows = list(recipients.order_by("pk").select_for_update(no_key=True))
        mine = [row for row in rows if _is_recipient(row, traces)]
        if not rows:
            return  # it was returned to the drafts, which come later
        if any(row.final_at is None for row in rows):
            changes.in_delivery.add(message_id)
        elif len(mine) == len(rows):
            delete_messages([message_id], using)
            changes.deleted += 1
        elif mine:
            _make_anonymous(message_id, mine, traces, using)
            changes.changed += 1


def _is_recipient(row: Recipient, traces: Traces) -> bool:
    return row.address.casefold() in {spelling.casefold() for spelling in traces.spellings}


def _make_anonymous(
    message_id: int, mine: Collection[Recipient], traces: Traces, using: str
) -> None:
    ids = {row.pk for row in mine}
    recipients = Recipient.objects.using(using).filter(pk__in=ids)
    # The reply may name the mailbox or its owner in other words.
    recipients.update(address=PLACEHOLDER, name="", reply_text="", remote_queue_id="")
    reports = InboundReport.objects.using(using).filter(recipient__in=ids)
    reports.update(address=PLACEHOLDER, text="")
    # Nothing is sent again to a placeholder, also if the recipient was in Bcc only.
    Source.objects.using(using).filter(pk=message_id).update(is_redacted=True)
    attempts = Attempt.objects.using(using).filter(message=message_id)
    remove_transcripts(list(attempts.values_list("pk", flat=True)), using)
    for attempt in attempts.exclude(signature=None):  # its hashes would confirm a guess
        attempt.signature = without_hashes(attempt.signature or "")
        attempt.save(using=using, update_fields=["signature"])
    for attempt in attempts.exclude(results=""):
        attempt.results = json.dumps(_anonymous_results(attempt, ids))
        attempt.save(using=using, update_fields=["results"])
    message = Message.objects.using(using).get(pk=message_id)
    message.to_summary = _summary(message)
    key = (message.idempotency_key or "").casefold()
    if any(needle in key for needle in traces.needles):  # also as a part, as in “welcome-ann@…”
        message.idempotency_key = None
    message.save(using=using, update_fields=["to_summary", "idempotency_key"])


def _anonymous_results(attempt: Attempt, ids: Collection[int]) -> list[dict[str, object]]:
    """Return the results; those of the recipients have no address and no text."""
    rows = attempt.result_rows
    return [
        {**row, "address": PLACEHOLDER, "text": ""} if row.get("recipient") in ids else row
        for row in rows
    ]


def _summary(message: Message) -> str:
    visible = message.recipients.exclude(role="bcc").order_by("pk")[:_NAMED]
    names = [one.name or one.address for one in visible]
    return ", ".join(names)[:_SUMMARY_MAX]


def erase_from_drafts(traces: Traces, using: str, changes: Changes) -> None:
    """Remove the address from what authors typed. A draft to it alone is deleted."""
    last = 0
    while True:
        drafts = Draft.objects.using(using).filter(pk__gt=last).order_by("pk")
        texts = drafts.values_list("pk", *_TYPED, *_WRITTEN, "message__subject")
        batch = list(texts[:_DRAFTS_AT_ONCE])
        if not batch:
            return
        for pk, *found in batch:
            if any(map(traces.is_in, found)):
                _erase_from_draft(pk, traces, using, changes)
        last = batch[-1][0]


def _erase_from_draft(message_id: int, traces: Traces, using: str, changes: Changes) -> None:
    """Read the draft again under the lock that saving and sending it take."""
    with transaction.atomic(using=using):
        messages = Message.objects.using(using).select_for_update(no_key=True)
        message = messages.filter(pk=message_id).first()
        draft = Draft.objects.using(using).filter(pk=message_id).first()
        if message is None or draft is None:
            return
        # The texts of a message that was queued are erased with those of its row.
        written = _WRITTEN if message.is_draft else ()
        before = {name: getattr(draft, name) for name in (*_TYPED, *written)}
        is_in_subject = message.is_draft and traces.is_in(message.subject)
        if not is_in_subject and not any(map(traces.is_in, before.values())):
            return
        after = {name: typed_without(before[name], traces) for name in _TYPED}
        after |= {name: traces.without(before[name]) for name in written}
        was_to_it = any(traces.is_in(before[name]) for name in _TO)
        if message.is_draft and was_to_it and not any(after[name].strip() for name in _TO):
            delete_messages([message_id], using)
            changes.drafts_deleted += 1
            return
        # An open window, also the one that saved it last, gets a conflict.
        changed = {**after, "version": draft.version + 1, "saved_from": ""}
        Draft.objects.using(using).filter(pk=message_id).update(**changed)
        if message.is_draft:
            message.to_summary = ", ".join(after["to"].splitlines())[:_SUMMARY_MAX]
            message.subject = traces.without(message.subject)
            message.snippet = traces.without(message.snippet)[:_SNIPPET_MAX]
            message.save(using=using, update_fields=["to_summary", "subject", "snippet"])
            index_messages([message_id], using)


def typed_without(text: str, traces: Traces) -> str:
    """Return a list of addresses as it was typed, without one of them and its name."""
    if not traces.is_in(text):
        return text
    kept = []
    for entry in split_entries(text):
        try:
            address = parse_entry(entry)
        except AddressError:
            kept.append(traces.without(entry))
            continue
        if not traces.is_mailbox(address):
            name = f"{quote_name(address.name)} " if address.name else ""
            kept.append(f"{name}<{address.spec}>" if name else address.spec)
    return ", ".join(kept)


def erase_from_sources(traces: Traces, using: str, changes: Changes) -> Iterator[int]:
    """Erase the address from every stored source; yield after each batch how many were read.

    Sources of messages that are still being delivered are not changed.
    """
    for count, batch in batches_of(Source.objects.using(using)):
        for source in batch:
            _erase_from_source(source, traces, using, changes)
        yield count


def batches_of(rows: QuerySet[Row]) -> Iterator[tuple[int, list[Row]]]:
    """Yield all rows in the order of their keys, each batch with how many were read so far."""
    last = count = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
        last = batch[-1].pk
        count += len(batch)
        yield count, batch


def _erase_from_source(found: Source, traces: Traces, using: str, changes: Changes) -> None:
    source: Source | None = found
    while source is not None:
        try:
            data = source.read()  # not in the transaction: a storage may hang
        except OSError:
            return  # the file is missing
        if not traces.is_in_source(data):
            return
        source = _replace_source(source, data, traces, using, changes)


def _replace_source(
    read: Source, data: bytes, traces: Traces, using: str, changes: Changes
) -> Source | None:
    """Erase the address from a source that was read; return what to read if it is another now."""
    with transaction.atomic(using=using):
        recipients = Recipient.objects.using(using).filter(message=read.pk)
        rows = list(recipients.order_by("pk").select_for_update(no_key=True))
        source = Source.objects.using(using).filter(pk=read.pk).first()
        if not rows or source is None:
            return None  # it was returned to the drafts
        if (source.sha256, source.file.name) != (read.sha256, read.file.name):
            return source
        if any(row.final_at is None for row in rows):
            changes.in_delivery.add(source.pk)
            return None
        without = traces.source_without(data)
        if without is None:
            remove_content([source.pk], using)
            changes.sources_removed += 1
            return None
        discard_files([source.file.name], using)
        new = Source.of(source.pk, without, hashlib.sha256(without).hexdigest())
        new.is_redacted = True
        new.erase_at = source.erase_at
        new.save(using=using, force_update=True)
        changes.sources_changed += 1
        return None


def erase_from_attachments(traces: Traces, using: str, changes: Changes) -> None:
    """Remove the files of drafts and messages that have the address in their content or name."""
    for row in Attachment.objects.using(using).order_by("pk").iterator(_AT_ONCE):
        try:
            has_trace = traces.is_in(row.name) or traces.is_in_bytes(row.read())
        except OSError:
            continue
        if has_trace:
            with transaction.atomic(using=using):
                discard_files([row.file.name], using)
                row.delete()
            changes.files_removed += 1


def index_again(message_ids: Collection[int], using: str) -> None:
    """Write the search entries of messages again, after their texts have changed."""
    for start in range(0, len(ids := sorted(message_ids)), _AT_ONCE):
        chunk = ids[start : start + _AT_ONCE]
        with transaction.atomic(using=using):
            of_drafts = Message.objects.using(using).filter(pk__in=chunk)
            entries = SearchEntry.objects.using(using).filter(pk=OuterRef("pk"))
            known = of_drafts.filter(Exists(entries)).values_list("pk", flat=True)
            index_messages(list(known), using)
            queued = of_drafts.exclude(status=Status.DRAFT).values_list("pk", flat=True)
            write_site_entries(list(queued), using)
