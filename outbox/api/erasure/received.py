"""Received messages about an address: those from it are deleted, others are kept without it.

A source is kept without the address if only header fields have it, and is removed otherwise, as
that of a sent message. On the server of a mailbox, nothing is changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

from django.db import transaction

from outbox.api.erasure.messages import Changes, batches_of
from outbox.mail.traces import Traces
from outbox.models import InboundMessage, InboundSource
from outbox.models.discarded_file import discard_files
from outbox.models.inbound_search import index_received
from outbox.models.removal import delete_received, remove_received_content

_AT_ONCE = 100


def messages_from(traces: Traces, using: str) -> Iterator[int]:
    """Yield the ids of the messages that the address sent."""
    folded = {traces.folded, *(spelling.casefold() for spelling in traces.spellings)}
    rows = InboundMessage.objects.using(using).filter(from_address__in=folded)
    yield from rows.order_by("pk").values_list("pk", flat=True).iterator(_AT_ONCE)


def erase_from_received(traces: Traces, using: str, changes: Changes) -> Iterator[int]:
    """Delete the messages of the address, then read every other one; yield the numbers read."""
    ids = list(messages_from(traces, using))
    for start in range(0, len(ids), _AT_ONCE):
        with transaction.atomic(using=using):
            delete_received(ids[start : start + _AT_ONCE], using)
    changes.deleted += len(ids)
    for count, batch in batches_of(InboundSource.objects.using(using)):
        for source in batch:
            _erase_from_source(source, traces, using, changes)
        yield count


def _erase_from_source(source: InboundSource, traces: Traces, using: str, changes: Changes) -> None:
    try:
        data = source.read()  # not in the transaction: a storage may hang
    except OSError:
        return  # the file is missing
    if not traces.is_in_source(data):
        return
    without = traces.source_without(data)
    with transaction.atomic(using=using):
        # The bytes of a received message never change, but it may have been deleted.
        same = InboundSource.objects.using(using).select_for_update().filter(pk=source.pk)
        if not same.exists():
            return
        if without is None:
            remove_received_content([source.pk], using)
            changes.received.add(source.pk)
            changes.sources_removed += 1
            return
        discard_files([source.file.name], using)
        new = InboundSource.of(source.pk, without, hashlib.sha256(without).hexdigest())
        new.is_redacted = True
        new.save(using=using, force_update=True)
        changes.received.add(source.pk)
        changes.sources_changed += 1


def index_received_again(message_ids: Collection[int], using: str) -> None:
    """Write the search entries of received messages again, after their texts have changed."""
    for start in range(0, len(ids := sorted(message_ids)), _AT_ONCE):
        with transaction.atomic(using=using):
            messages = InboundMessage.objects.using(using).filter(
                pk__in=ids[start : start + _AT_ONCE]
            )
            locked = messages.order_by("pk").select_for_update(no_key=True)
            index_received(list(locked.values_list("pk", flat=True)), using)
