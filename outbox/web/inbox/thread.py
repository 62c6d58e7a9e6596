"""The conversation of a received message: what its owner received and sent in one thread.

Each step is a query that an index serves, with a bounded result, so that the page costs the same
for any mailbox and any thread:

1. the received messages with the same first Message-ID;
2. the sent messages that these reply to, and the drafts and messages that were made from them;
3. what was made from those, such as a second message to the same people;
4. replies to all of these from programs that lost the thread.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import F, Q
from django.db.models.functions import Coalesce

from outbox.models import COPIES, InboundFolder, InboundKind, InboundMessage, Message
from outbox.models.message import MessageQuerySet
from outbox.web.inbox.senders import sender_name

MOST = 100  # of the received messages and of the sent ones; the newest
_RECEIVED = (
    "id", "kind", "folder", "is_read", "from_header", "from_address", "subject", "snippet",
    "received_at", "attachment_count", "replies_to_id", "message_id", "in_reply_to",
)  # fmt: skip
_SENT = (
    "id", "status", "subject", "snippet", "is_sensitive", "to_summary", "listed_at", "from_header",
    "attachment_count", "message_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ThreadEntry:
    """One message of a conversation: either `received` or `sent`."""

    at: dt.datetime
    received: InboundMessage | None = None
    sent: Message | None = None
    is_current: bool = False

    @property
    def sender(self) -> str:
        """Return the name of the sender of a received message."""
        return sender_name(self.received) if self.received else ""


def read_thread(message: InboundMessage) -> list[ThreadEntry]:
    """Return the conversation that a message belongs to, oldest first. It costs five queries."""
    received = {one.pk: one for one in _received(message, _same_thread(message))}
    sent = _sent_about(message, received.values())
    more = _received(message, Q(replies_to__in=sent)) if sent else []
    received |= {one.pk: one for one in more}
    entries = [
        ThreadEntry(one.received_at, received=one, is_current=one.pk == message.pk)
        for one in received.values()
    ]
    entries += [ThreadEntry(one.listed_at, sent=one) for one in sent.values()]
    return sorted(entries, key=lambda entry: (entry.at, entry.sent is None))


def _same_thread(message: InboundMessage) -> Q:
    return Q(thread=message.thread) if message.thread else Q(pk=message.pk)


def _received(message: InboundMessage, condition: Q) -> list[InboundMessage]:
    mine = InboundMessage.objects.filter(condition, owner=message.owner_id)
    shown = mine.exclude(~Q(pk=message.pk), folder=InboundFolder.TRASH)
    return list(shown.only(*_RECEIVED).order_by("-received_at", "-pk")[:MOST])


def _sent_about(
    message: InboundMessage, received: Collection[InboundMessage]
) -> dict[int, Message]:
    """Return the owner's sent messages and drafts around received ones, by id."""
    mine = Message.objects.filter(owner=message.owner_id)
    keys = [one.pk for one in received]
    originals = [one.replies_to_id for one in received if one.replies_to_id]
    # A bounce quotes the id of a message outside the thread.
    ids = [one.in_reply_to for one in received if one.kind == InboundKind.MESSAGE]
    ids = [one for one in ids if one]
    found = _first(mine.filter(pk__in=originals)) if originals else {}
    found |= _first(mine.filter(made_from_received__in=keys))
    if ids:
        found |= _first(mine.filter(message_id__in=ids))
    if found:
        replies = mine.filter(made_from__in=list(found)).exclude(draft__made_as__in=COPIES)
        found |= _first(replies)
    return found


def _first(messages: MessageQuerySet) -> dict[int, Message]:
    # The order is that of no index, so that the condition decides which one is read.
    newest = messages.only(*_SENT).order_by(Coalesce(F("pk"), F("pk")).desc())
    return {one.pk: one for one in newest[:MOST]}
