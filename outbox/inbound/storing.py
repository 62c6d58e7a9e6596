"""Write received messages: the only writer of new rows of InboundMessage and InboundSource.

A message, its bytes and what it says about others are stored in one transaction, which is the
caller's. Parsing comes before it (`outbox.inbound.facts`).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence

from django.db import transaction

from outbox.conf import get_conf
from outbox.db.bulk import insert_models
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.inbound.applying import apply_reports
from outbox.inbound.candidates import known_ids
from outbox.inbound.facts import Facts, read_facts
from outbox.inbound.matching import REPLIES, match
from outbox.models import Account, InboundMessage, InboundReport, InboundSource, Mailbox
from outbox.models.inbound_search import index_received
from outbox.reply_rules import usable_rules

logger = logging.getLogger(__name__)


def store_received(
    place: Mailbox | Account, source: bytes, *, using: str | None = None
) -> InboundMessage:
    """Parse, classify, store and match one message of an account; return it.

    Raise StorageWriteError if a large source cannot be written to the storage.
    """
    using = using or get_conf().database
    account = place.account if isinstance(place, Mailbox) else place
    facts = read_facts(source, usable_rules())
    with transaction.atomic(using=using):
        return store([facts], account, using, now=database_now(using), guarded=True)[0]


def store(
    every: Sequence[Facts],
    account: Account,
    using: str,
    *,
    now: dt.datetime,
    guarded: bool = False,
) -> list[InboundMessage]:
    """Write the rows of messages in the caller's transaction, and match them; it is `now`.

    `guarded` stores the messages even if they cannot be matched: it is for a single one. Otherwise,
    an error ends the transaction. Raise StorageWriteError.
    """
    if not every:
        return []
    rows = [
        InboundMessage(owner_id=account.owner_id, account=account, created_at=now, **facts.values)
        for facts in every
    ]
    for row in rows:
        # A message that arrives late belongs to its time, but none comes from the future.
        row.received_at = min(row.received_at or now, now)
    insert_models(using, rows)
    sources = [
        InboundSource.of(row.pk, facts.source, facts.sha256)
        for row, facts in zip(rows, every, strict=True)
    ]
    InboundSource.objects.using(using).bulk_create(sources)
    for row, source in zip(rows, sources, strict=True):
        source.message = row  # so that matching reads neither of them again
    if guarded:
        _match_if_possible(rows, every, using)
    else:
        _match(rows, every, using)
    return rows


def _match(rows: Sequence[InboundMessage], every: Sequence[Facts], using: str) -> None:
    """Match messages, write their search entries, then apply what all of them report.

    Matching may remove content, which the search must not find. Nothing waits for the locks of the
    reports while the texts are parsed.

    The order of the locks is that of a group commit: all recipients, then their messages. If each
    report were applied alone, the two could wait for each other.
    """
    reports: list[InboundReport] = []
    replies = (one.inspection.storable() for one in every if one.inspection.kind in REPLIES)
    known = known_ids(replies, using)
    for row, facts in zip(rows, every, strict=True):
        reports += match(row, facts.inspection, using, known=known)
    index_received([row.pk for row in rows], using)
    apply_reports(reports, using)


def _match_if_possible(rows: Sequence[InboundMessage], every: Sequence[Facts], using: str) -> None:
    try:
        with transaction.atomic(using=using):
            _match(rows, every, using)
    except DATABASE_UNAVAILABLE:
        raise
    except Exception:
        logger.exception("Received messages %s could not be matched.", [row.pk for row in rows])
        for facts in every:
            facts.is_readable = False
