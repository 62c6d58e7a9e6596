"""Received messages that have expired. Their time is counted from when they were stored here."""

from __future__ import annotations

import datetime as dt

from django.db.models import Exists, OuterRef

from outbox.delivery.expired import Expired, Rules, window_of
from outbox.models import InboundMessage, InboundSource, ServerMessage
from outbox.models.retention import Part

GONE_FOR = dt.timedelta(days=90)  # the id of a message that is no longer on its server is kept


def old_received(rules: Rules, after: int, count: int) -> Expired:
    """Return the next received messages that have expired."""
    return _walk(rules, after, count, Part.MESSAGE)


def old_received_content(rules: Rules, after: int, count: int) -> Expired:
    """Return the next received messages whose content has expired."""
    return _walk(rules, after, count, Part.CONTENT)


def old_server_messages(rules: Rules, after: int, count: int) -> Expired:
    """Return the next ids of messages that were deleted from their server long ago."""
    window, last = window_of(ServerMessage, after, rules.using)
    gone = window.filter(deleted_at__lte=rules.now - GONE_FOR)
    ids = list(gone.values_list("pk", flat=True)[:count])
    return Expired(ids, ids[-1] if len(ids) == count else last)


def _walk(rules: Rules, after: int, count: int, part: Part) -> Expired:
    if (cutoff := rules.cutoff(part)) is None:
        return Expired([], None)
    window, last = window_of(InboundMessage, after, rules.using)
    old = window.filter(created_at__lte=cutoff)
    if part is Part.CONTENT:
        old = old.filter(Exists(InboundSource.objects.filter(pk=OuterRef("pk"))))
    rows = list(old.values_list("pk", "account_id", "created_at")[:count])
    found = [
        pk
        for pk, account_id, created_at in rows
        if rules.is_over(created_at, rules.kept.of(account_id).of(part))
    ]
    return Expired(found, rows[-1][0] if len(rows) == count else last)
