"""Count the recipients that bounced, in the rows from which operators see outcomes.

A bounce is counted in the minute in which it is applied, besides the earlier *sent*. The rows are
those of its account instead of a worker, so that fetchers of other accounts wait for none of them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable

from django.db.models import Case, F, Value, When

from outbox.inbound.verdict import read_codes
from outbox.mail.reply_kinds import kind_of_reason
from outbox.mail.server_replies import FailureKind, NormalizedReply, normalized_reply
from outbox.models import (
    DeliveryCount,
    DeliveryTotal,
    EventKind,
    InboundReport,
    Message,
    Recipient,
    ReplyGroup,
    State,
)
from outbox.models.delivery_count import CountKey, add, domain_of
from outbox.models.delivery_time import MERGED_WORKER
from outbox.models.reply_group import with_room, write
from outbox.reason_codes import ReasonCode
from outbox.reply_rules import kind_of_reply
from outbox.texts import storable

_REPLY = re.compile(r"([45]\d\d)[ -](.+)", re.DOTALL)
_STORED_AGAIN_AFTER = dt.timedelta(hours=1)  # as workers do


def count_bounces(
    bounced: Iterable[tuple[InboundReport, Recipient]], now: dt.datetime, using: str
) -> None:
    """Count recipients whose state a report has just changed, in the caller's transaction.

    It has to be the last thing that the transaction locks.
    """
    pairs = list(bounced)
    if not pairs:
        return
    groups = {report.pk: _group_of(report) for report, _ in pairs}
    keys = _store(set(groups.values()), now, using)
    accounts = _accounts({recipient.message_id for _, recipient in pairs}, using)
    minute = now.replace(second=0, microsecond=0)
    counts = Counter(
        _key(minute, accounts[recipient.message_id], recipient, keys[groups[report.pk]])
        for report, recipient in pairs
    )
    add(counts, using)


def uncount_bounce(report: InboundReport, recipient: Recipient, using: str) -> None:
    """Remove a bounce that a user has corrected from the counts, in the caller's transaction.

    It stays counted if its account was deleted in between: its counts are those of the account.
    """
    bounced = recipient.events.filter(kind=EventKind.BOUNCED).order_by("-pk").first()
    if bounced is None:
        return
    account = _accounts({recipient.message_id}, using)[recipient.message_id]
    minute = bounced.at.replace(second=0, microsecond=0)
    key = _key(minute, account, recipient, _group_of(report).key)
    # The sweep may have merged the minutes of the hour since.
    for at in (key, key._replace(minute=minute.replace(minute=0), worker_key=MERGED_WORKER)):
        same = {"minute": at.minute, "worker_key": at.worker_key, "outcome": at.outcome}
        totals = DeliveryTotal.objects.using(using).filter(**same, count__gt=0)
        counts = DeliveryCount.objects.using(using).filter(
            **same, account_key=at.account_key, domain=at.domain, count__gt=0
        )
        # Another report may have been counted: it says the same of the recipient in other words.
        is_other = Case(When(reply_key=at.reply_key, then=Value(0)), default=Value(1))
        found = counts.order_by(is_other, "reply_key").values_list("reply_key", flat=True).first()
        if found is None:
            continue
        if counts.filter(reply_key=found).update(count=F("count") - 1):
            totals.update(count=F("count") - 1)
            return


def _key(minute: dt.datetime, account_key: int, recipient: Recipient, reply_key: int) -> CountKey:
    domain = storable(domain_of(recipient.address))
    return CountKey(minute, -account_key - 1, account_key, domain, State.BOUNCED.value, reply_key)


def _accounts(message_ids: set[int], using: str) -> dict[int, int]:
    """Return the key of each message's account; that of a deleted one is 0."""
    messages = Message.objects.using(using).filter(pk__in=message_ids)
    return {pk: account or 0 for pk, account in messages.values_list("pk", "account_id")}


def _group_of(report: InboundReport) -> NormalizedReply:
    """Return the reply group of a bounce: that of the server's reply, where the report quotes one.

    All others are one group, since anyone can invent statuses and texts.
    """
    found = _REPLY.match(report.text)
    if found is None:
        return NormalizedReply(0, "", ReasonCode.REPORTED_UNDELIVERABLE.value)
    enhanced = read_codes(found[2])[1] or report.status
    return normalized_reply(int(found[1]), enhanced, found[2])


def _store(
    groups: set[NormalizedReply], now: dt.datetime, using: str
) -> dict[NormalizedReply, int]:
    """Write the groups that are not stored; return the key under which each one is counted."""
    keys = {group: group.key for group in groups}
    rows = ReplyGroup.objects.using(using).filter(last_seen_at__gt=now - _STORED_AGAIN_AFTER)
    recent = set(rows.filter(pk__in=keys.values()).values_list("pk", flat=True))
    met = {group for group, key in keys.items() if key not in recent}
    stored = with_room([(group, _kind_of(group)) for group in met], using) if met else set()
    # Without room: the code alone.
    left = {group: NormalizedReply(group.code, "", "") for group in met if group.key not in stored}
    # In one statement, so that all rows are locked in the order of the keys.
    write([(left.get(group, group), _kind_of(left.get(group, group))) for group in met], using)
    return keys | {group: one.key for group, one in left.items()}


def _kind_of(group: NormalizedReply) -> FailureKind:
    if not group.code:
        return kind_of_reason(group.text)
    return kind_of_reply(group.code, group.enhanced, group.text)
