"""Bounces whose texts no rule explains, in groups as server replies are."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from outbox.conf import get_conf
from outbox.mail.server_replies import normalize
from outbox.models import InboundKind, InboundReport

READ_MAX = 1_000  # of the latest bounces
GROUPS_MAX = 50


@dataclass(slots=True)
class UnexplainedBounces:
    """The bounces of one text. `message_id` is of the last message that came back, if known."""

    text: str
    status: str
    count: int
    last_at: dt.datetime
    message_id: int | None


def unexplained_bounces(since: dt.datetime) -> list[UnexplainedBounces]:
    """Return the texts of bounces since a time that no rule matched, the most frequent first.

    A rule of the site, in the file of the setting REPLY_RULES, can explain them from then on.
    """
    rows = InboundReport.objects.using(get_conf().database).filter(
        kind=InboundKind.BOUNCE, rule="", at__gte=since
    )
    latest = rows.order_by("-at").values_list("text", "status", "at", "recipient__message_id")
    found: dict[tuple[str, str], UnexplainedBounces] = {}
    for text, status, at, message_id in latest[:READ_MAX]:
        key = (normalize(text), status)
        group = found.setdefault(key, UnexplainedBounces(key[0], status, 0, at, message_id))
        group.count += 1
    return sorted(found.values(), key=lambda one: -one.count)[:GROUPS_MAX]
