"""Erasure: the content of a sensitive message is deleted when its delivery has ended.

Only the source has the content, since no other row gets any of it. Its row is deleted in the
transaction that records the last outcome, which also discards the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.db import models

from outbox.db.bulk import Among
from outbox.models.discarded_file import discard_files
from outbox.models.message import Source
from outbox.models.recipient import Recipient
from outbox.models.states import State

# Only these states keep the content. An uncertain recipient does while its policy may send again.
KEEPING = (State.QUEUED, State.SENDING, State.DEFERRED, State.HELD)


def keeps_content(state: State, resend_at: dt.datetime | None) -> bool:
    """Return whether a recipient in this state may still need the content."""
    return state in KEEPING or (state == State.UNCERTAIN and resend_at is not None)


def erase_ended(message_ids: Collection[int], using: str) -> None:
    """Erase the content of those messages that are sensitive and whose delivery has ended.

    It runs in the transaction that changed the recipients, after the roll-up. That one has locked
    the messages with several recipients, so that one of two transactions sees the other's outcome.
    """
    needing = Recipient.objects.using(using).filter(
        models.Q(state__in=KEEPING) | models.Q(state=State.UNCERTAIN, resend_at__isnull=False),
        message=models.OuterRef("pk"),
    )
    sensitive = Source.objects.using(using).filter(Among("pk", message_ids), erase_at__isnull=False)
    ended = dict(sensitive.exclude(models.Exists(needing)).values_list("pk", "file"))
    if ended:
        discard_files(list(ended.values()), using)
        Source.objects.using(using).filter(pk__in=list(ended)).delete()
