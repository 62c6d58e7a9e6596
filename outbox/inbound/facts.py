"""What is stored about a received message besides its bytes: the columns of its row.

The bytes may come from an attacker, and no content of them may prevent that the message is stored.
Nothing here uses the database, so that it can be done before a transaction begins.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from outbox.inbound.address_text import MAX_ADDRESS, first_address
from outbox.inbound.inspect import inspect_received
from outbox.inbound.inspection import Inspection, MessageKind
from outbox.inbound.received import Received
from outbox.mail.addresses import AddressError, mailbox_key, parse_address_header
from outbox.mail.dates import read_date
from outbox.mail.parts import count_files
from outbox.mail.plain_text import snippet
from outbox.mail.replies import bare_message_id
from outbox.mail.reply_kinds import RULES, Rule
from outbox.mail.threads import thread_of
from outbox.texts import storable

logger = logging.getLogger(__name__)
_MAX_SUBJECT = 10_000  # characters; the source has all of it
_MAX_FROM = 1_000
_MAX_ID_FIELD = 4_000  # characters of a field with one Message-ID
_MAX_SUMMARY, _MAX_SIGN = 200, 200
_MAX_TO = 2_000  # characters of To that are parsed
_NAMED = 3  # recipients in the summary, as of sent messages
_SNIPPET = 120  # characters, as of sent messages
_SNIPPET_OF = 10_000
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


_NOTHING = Inspection(MessageKind.MESSAGE, "")


@dataclass(slots=True)
class Facts:
    """A received message and what is known of it."""

    source: bytes = field(repr=False)
    sha256: str
    values: dict[str, Any] = field(repr=False)  # columns of InboundMessage
    inspection: Inspection = _NOTHING
    is_readable: bool = True  # False: the parser failed, so the message stays on the server

    @property
    def size(self) -> int:
        """The bytes of the source."""
        return len(self.source)


def read_facts(source: bytes, rules: Sequence[Rule] = RULES) -> Facts:
    """Parse and classify a message. No source raises an exception."""
    facts = Facts(source, hashlib.sha256(source).hexdigest(), {"size": len(source)})
    try:
        received = Received(source)
        facts.values |= _of_header(received)
        facts.inspection = inspect_received(received, rules)
        facts.values |= _of_content(received, facts.inspection)
    except Exception:
        # A fault of the parser must not lose the message, nor keep later ones from being fetched.
        logger.exception("The received message with the SHA-256 %s is unreadable.", facts.sha256)
        facts.is_readable = False
    return facts


def _of_header(received: Received) -> dict[str, Any]:
    sender = received.first("from")[:_MAX_FROM]
    message_id = received.first("message-id")[:_MAX_ID_FIELD]
    in_reply_to = received.first("in-reply-to")[:_MAX_ID_FIELD]
    address = mailbox_key(first_address(sender)).casefold()[:MAX_ADDRESS]
    return {
        "from_header": storable(sender),
        "from_address": storable(address),
        "to_summary": storable(_summary(received.first("to")[:_MAX_TO])),
        "subject": storable(received.first("subject")[:_MAX_SUBJECT]),
        "message_id": storable(bare_message_id(message_id)),
        "in_reply_to": storable(bare_message_id(in_reply_to)),
        "thread": thread_of(message_id, received.first("references"), in_reply_to),
        "sent_at": _displayable(read_date(received.first("date"))),
        "received_at": _displayable(read_date(received.first("received").rpartition(";")[2])),
    }


def _of_content(received: Received, inspection: Inspection) -> dict[str, Any]:
    return {
        "kind": str(inspection.kind),
        "kind_sign": storable(inspection.sign[:_MAX_SIGN]),
        "snippet": storable(snippet(received.text[:_SNIPPET_OF], _SNIPPET)),
        "attachment_count": count_files(received.root),
    }


def _displayable(date: dt.datetime | None) -> dt.datetime | None:
    """Return a date that every time zone can display."""
    return date if date and _FIRST_YEAR <= date.year <= _LAST_YEAR else None


@lru_cache(maxsize=256)  # most messages of a mailbox are addressed in a few ways
def _summary(value: str) -> str:
    """Return the names of the first recipients, or the field as it is if it cannot be parsed."""
    try:
        found = parse_address_header(value)[:_NAMED]
    except AddressError:
        return " ".join(value.split())[:_MAX_SUMMARY]
    return ", ".join(one.name or one.spec for one in found)[:_MAX_SUMMARY]
