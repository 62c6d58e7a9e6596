"""The export of everything about one address, as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import IO, Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from outbox.api.erasure.columns import find, tables
from outbox.api.erasure.messages import recipients_of
from outbox.api.erasure.received import messages_from
from outbox.db.clock import database_now
from outbox.mail.traces import Traces
from outbox.models import InboundMessage, Message, Recipient, Suppression
from outbox.models.suppression import keys_of

_MESSAGE = (
    "id", "status", "subject", "from_header", "envelope_sender", "message_id", "created_at",
    "queued_at", "send_at", "tags", "metadata",
)  # fmt: skip
_RECIPIENT = (
    "id", "role", "name", "address", "state", "attempts", "first_attempt_at", "last_attempt_at",
    "final_at", "reply_code", "reply_enhanced", "reply_text", "remote_host", "remote_queue_id",
    "reason",
)  # fmt: skip
_ATTEMPT = ("id", "started_at", "ended_at", "outcome", "reply_code", "reply_text", "transfer")
_RECEIVED = (
    "id", "kind", "from_header", "to_summary", "subject", "message_id", "in_reply_to", "sent_at",
    "received_at",
)  # fmt: skip
_EVENT = ("id", "kind", "from_state", "to_state", "at", "why", "reason")


def write_export(traces: Traces, using: str, file: IO[str]) -> int:
    """Write everything about the address; return the number of messages.

    That is each message that was to be sent to it or was received from it, with its content, and
    each row of any table that has the address, with the texts in which it occurs.
    """
    heading = {"address": traces.address.spec, "exported_at": database_now(using)}
    file.write(json.dumps(heading, cls=DjangoJSONEncoder)[:-1] + ', "messages": [')
    count = 0
    for count, message in enumerate(_messages(traces, using), start=1):
        file.write((",\n" if count > 1 else "\n") + _dumped(message))
    file.write('\n], "received": [')
    for number, received in enumerate(_received(traces, using)):
        file.write((",\n" if number else "\n") + _dumped(received))
    file.write('\n], "rows": [')
    for number, row in enumerate(_rows(traces, using)):
        file.write((",\n" if number else "\n") + _dumped(row))
    file.write("\n]}\n")
    return count


def _dumped(value: object) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


def _messages(traces: Traces, using: str) -> Iterator[dict[str, Any]]:
    ids = recipients_of(traces, using).order_by("message").values_list("message", flat=True)
    for pk in ids.distinct().iterator():
        message = Message.objects.using(using).filter(pk=pk).first()
        if message is None:
            continue
        mine = [one for one in message.recipients.all() if _is_mine(one, traces)]
        yield _columns(message, _MESSAGE) | {
            "recipients": [_columns(one, _RECIPIENT) for one in mine],
            "recipients_besides": message.recipient_count - len(mine),
            "attempts": [_columns(one, _ATTEMPT) for one in message.attempts.all()],
            "events": [
                _columns(event, _EVENT)
                for event in message.events.all()
                if event.recipient_id in {None, *(one.pk for one in mine)}
            ],
            **_source(message),
        }


def _received(traces: Traces, using: str) -> Iterator[dict[str, Any]]:
    for pk in messages_from(traces, using):
        message = InboundMessage.objects.using(using).filter(pk=pk).first()
        if message is not None:
            yield _columns(message, _RECEIVED) | _source(message)


def _is_mine(recipient: Recipient, traces: Traces) -> bool:
    return recipient.address.casefold() in {one.casefold() for one in traces.spellings}


def _columns(row: Model, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    if "reason" in values:
        values["reason"] = str(values["reason"])
    return values


def _source(message: Message | InboundMessage) -> dict[str, str]:
    try:
        data = message.source.read()
    except (OSError, ObjectDoesNotExist):
        return {}
    try:
        return {"source": data.decode()}
    except UnicodeDecodeError:
        return {"source_base64": base64.b64encode(data).decode()}


def _rows(traces: Traces, using: str) -> Iterator[dict[str, Any]]:
    for model in tables(using):
        for found in find(model, traces, using):
            table = found.model._meta.db_table
            yield {"table": table, "key": list(found.pk), "texts": found.texts}
    hashed = keys_of(traces.address.spec)[1:]
    for entry in Suppression.objects.using(using).filter(folded__in=hashed):
        yield {
            "table": entry._meta.db_table,
            "key": [entry.pk],
            "texts": {"reason": str(entry.reason)},
        }
