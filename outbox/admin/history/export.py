"""The export of a filtered list: one row per recipient, as CSV or JSON.

It is streamed in batches, so that its memory does not depend on the number of messages. No content
of a message is exported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q
from django.http import HttpRequest, StreamingHttpResponse

from outbox.admin.history.finding import History
from outbox.admin.streaming import streamed
from outbox.api.csv_files import CSV_TYPE, csv_lines
from outbox.models import Message, Recipient
from outbox.web.folders.pagination import NEWEST_FIRST, Cursor

BATCH = 500  # messages that are read at once
_RECIPIENTS_AT_ONCE = 2_000
_MESSAGE = ("id", "status", "queued_at", "subject", "from_header", "message_id", "origin", "tags")
_RECIPIENT = (
    "role", "address", "state", "attempts", "last_attempt_at", "next_attempt_at", "reply_code",
    "reply_enhanced", "reply_text", "remote_host", "remote_queue_id",
)  # fmt: skip
# Of delivery by MX: the level of TLS that the recipient's last attempt requested and achieved.
# Empty if that attempt made no connection.
_LEVELS = ("tls_requested", "tls_achieved")
COLUMNS = (*_MESSAGE, "account", *_RECIPIENT, "tls_requirement", *_LEVELS)
_LOADED = (*_MESSAGE, "tls_requirement", "account__name")

Row = dict[str, Any]


def rows_of(history: History) -> Iterator[Row]:
    """Yield a row for each recipient of each message, newest message first."""
    place = Q()
    while found := history.find(place, NEWEST_FIRST, BATCH):
        keys = [message.pk for message in found]
        yield from _rows(keys)
        place = Cursor.of(found[-1]).older


def _rows(keys: list[int]) -> Iterator[Row]:
    loaded = Message.objects.filter(pk__in=keys).select_related("account")
    messages = {message.pk: message for message in loaded.only(*_LOADED)}
    recipients = (
        Recipient.objects.filter(message__in=keys)
        .select_related("attempt__session")
        .order_by("-message__listed_at", "-message_id", "pk")
        .only("message_id", *_RECIPIENT, *(f"attempt__session__{name}" for name in _LEVELS))
    )
    for recipient in recipients.iterator(_RECIPIENTS_AT_ONCE):
        message = messages.get(recipient.message_id)
        if message is not None:  # it was not deleted in between
            account = message.account.name if message.account else ""
            session = recipient.attempt.session if recipient.attempt else None
            yield {
                **{name: getattr(message, name) for name in _MESSAGE},
                "account": account,
                **{name: getattr(recipient, name) for name in _RECIPIENT},
                "tls_requirement": message.tls_requirement,
                **{name: getattr(session, name, "") for name in _LEVELS},
            }


def as_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a CSV file. No cell is a formula."""
    return csv_lines(COLUMNS, rows)


def as_json(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a JSON array with one object per line."""
    separator = "[\n"
    for row in rows:
        yield separator + json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False)
        separator = ",\n"
    yield "\n]\n" if separator.startswith(",") else "[]\n"


FORMATS: dict[str, tuple[str, Callable[[Iterable[Row]], Iterator[str]]]] = {
    "csv": (CSV_TYPE, as_csv),
    "json": ("application/json", as_json),
}


def response_of(request: HttpRequest, history: History, form: str) -> StreamingHttpResponse:
    """Return the file as a streamed response. Under ASGI, each batch is read in a thread."""
    content_type, write = FORMATS[form]
    return streamed(request, write(rows_of(history)), content_type, f"messages.{form}")
