"""What in a received message may identify the message that it is about, besides its Message-ID.

All of it may come from attackers: it is limited in number and in length, and proves nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from outbox.inbound.address_text import find_addresses
from outbox.inbound.inspection import Inspection
from outbox.inbound.received import Received, report_text
from outbox.mail.transfer_encodings import MAX_LINE
from outbox.texts import storable

_MAX_FIELD = 2_000  # characters of a field that are searched
_MAX_FIELDS = 20
_MAX_FOUND = 20  # of each kind
_MAX_REPORT = 20_000  # characters
# Fields that name the address that the message was delivered to, the nearest one to the mailbox
# first.
_DELIVERED = (
    "delivered-to", "x-original-to", "x-delivered-to", "envelope-to", "x-envelope-to", "to", "cc",
)  # fmt: skip
_QUEUE_ID = re.compile(r"\bid\s{1,5}<?([\w.:@,+/=~-]{6,100})", re.ASCII | re.IGNORECASE)
_POSTFIX_QUEUE_ID = re.compile(
    r"^x-postfix-queue-id:[ \t]*+(\w{6,100})", re.IGNORECASE | re.MULTILINE | re.ASCII
)
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")


def with_identifiers(found: Inspection, received: Received) -> Inspection:
    """Return an inspection with what identifies the message that the received one is about."""
    return replace(
        found,
        return_tokens=_first((*found.return_tokens, *_tokens(received))),
        queue_ids=_first((*found.queue_ids, *_queue_ids(received))),
        references=_first((*found.references, *_references(received))),
    )


def _first(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(values), _MAX_FOUND))


def _tokens(received: Received) -> Iterator[str]:
    """Yield what stands after a "+" in the addresses that the message was delivered to."""
    values = [
        *chain.from_iterable(map(received.every, _DELIVERED)),
        *(value for name, value in received.enclosed_fields if name == "return-path"),
    ]
    for value in values[:_MAX_FIELDS]:
        for address in find_addresses(value[:_MAX_FIELD]):
            local, plus, token = address.address.rpartition("@")[0].rpartition("+")
            if plus and local:
                yield token


def _queue_ids(received: Received) -> Iterator[str]:
    """Yield the ids in the trace fields of the original message, the latest server first."""
    status = [leaf for leaf in received.leaves if leaf.content_type.endswith("delivery-status")]
    for leaf in status[:_MAX_FIELDS]:
        yield from _POSTFIX_QUEUE_ID.findall(report_text(leaf)[:_MAX_REPORT])
    fields = [value for name, value in received.enclosed_fields if name == "received"]
    for value in fields[:_MAX_FIELDS]:
        if id_found := _QUEUE_ID.search(value[:_MAX_FIELD]):
            yield id_found[1].rstrip(".,:;")


def _references(received: Received) -> Iterator[str]:
    """Yield the Message-IDs that the message refers to, the nearest one first."""
    for name, is_reversed in (("in-reply-to", False), ("references", True)):
        ids = _MESSAGE_ID.findall(storable(received.first(name)[-_MAX_REPORT:]))
        yield from (
            one for one in (reversed(ids) if is_reversed else ids) if len(one.encode()) <= MAX_LINE
        )
