"""Everything that is recorded about the delivery of a message, as text and as JSON.

Neither contains passwords: transcripts are masked before they are stored.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, prefetch_related_objects

from outbox.api.reports import reports_on
from outbox.models import Attempt, Message
from outbox.models.states import shown_status
from outbox.reasons import Reason
from outbox.web.display import LABELS, inert, offset
from outbox.web.messages.conversation import Conversation, read_conversation
from outbox.web.messages.network import private_addresses, without_addresses, without_network

_MESSAGE = (
    "id", "origin", "status", "subject", "from_header", "envelope_sender", "message_id",
    "in_reply_to", "importance", "tags", "metadata", "idempotency_key", "size", "recipient_count",
    "attachment_count", "needs_8bit", "needs_smtputf8", "is_sensitive",
    "tls_requirement", "created_at", "queued_at", "send_at", "expires_at",
)  # fmt: skip
_RECIPIENT = (
    "id", "role", "name", "address", "state", "attempts", "first_attempt_at", "last_attempt_at",
    "next_attempt_at", "resend_at", "expires_at", "final_at", "reply_code",
    "reply_enhanced", "reply_text", "reply_command", "remote_host", "remote_queue_id", "reason",
)  # fmt: skip
_ATTEMPT = (
    "id", "started_at", "dot_marked_at", "ended_at", "outcome", "is_resend", "number_in_session",
    "phase", "fault", "reason", "reply_code", "reply_enhanced", "reply_text", "sent_sha256",
    "signature", "late_reply",
)  # fmt: skip
_SESSION = (
    "id", "host", "address", "port", "local_address", "started_at", "ended_at", "greeting",
    "extensions", "tls", "tls_requested", "tls_policy", "tls_achieved", "tls_why",
    "auth_mechanism", "tried", "phases_ms",
)  # fmt: skip
_REPORT = (
    "id", "kind", "recipient_id", "address", "action", "status", "effect", "text", "rule",
    "matched_by", "provider", "is_applied", "at",
)  # fmt: skip
_EVENT = ("id", "kind", "recipient_id", "from_state", "to_state", "reason", "why", "at")


def attempts_of(message: Message) -> list[Attempt]:
    """Return the attempts in order, with their sessions; the recipients are prefetched."""
    prefetch_related_objects([message], "recipients")
    return list(message.attempts.select_related("session", "worker").order_by("pk"))


def as_text(message: Message, attempts: Sequence[Attempt], *, shows_network: bool) -> str:
    """Return every conversation as text, each line with its milliseconds and speaker."""
    head = (
        f"Message {message.pk}: {inert(message.subject)}\nMessage-ID: {inert(message.message_id)}\n"
    )
    found = (read_conversation(one, number) for number, one in enumerate(attempts, start=1))
    conversations = (one if shows_network else without_network(one) for one in found)
    return "\n".join([head, *("\n".join(_lines(one)) for one in conversations)]) + "\n"


def _lines(conversation: Conversation) -> Iterator[str]:
    attempt = conversation.attempt
    began = f"{attempt.started_at:%Y-%m-%d %H:%M:%S.%f %Z}"
    outcome, server = LABELS[attempt.outcome], inert(conversation.server)
    yield f"Attempt {conversation.number}: {outcome}, {began}, {server}"
    if attempt.reason:
        yield inert(str(attempt.reason))
    if levels := conversation.tls_levels:
        yield f"TLS requested: {levels.requested}. {inert(str(levels.requested_why))}".rstrip()
        yield f"TLS achieved: {levels.achieved}. {inert(str(levels.achieved_why))}".rstrip()
    for section in conversation.sections:
        if section.lines:
            yield f"  {section.title}"
        for line in section.lines:
            first, *more = inert(line.text).split("\n")
            yield f"  {offset(line.ms):>12}  {line.speaker[0].upper()}  {first}"
            yield from (f"{'':19}{rest}" for rest in more)
    yield ""


def as_json(message: Message, attempts: Sequence[Attempt], *, shows_network: bool) -> str:
    """Return the rows as JSON, without the message's content."""
    states = {row.state for row in message.recipients.all()}
    record = {
        "message": _fields(message, _MESSAGE) | {"status": shown_status(message.status, states)},
        "account": message.account.name if message.account else None,
        "recipients": [_fields(row, _RECIPIENT) for row in message.recipients.all()],
        "attempts": [_attempt(row, shows_network=shows_network) for row in attempts],
        "events": [
            _fields(row, _EVENT) | {"actor": row.actor.get_username() if row.actor else None}
            for row in message.events.select_related("actor")
        ],
        "reports": [_fields(row, _REPORT) for row in reports_on(message)],
    }
    return json.dumps(record, cls=DjangoJSONEncoder, ensure_ascii=True, indent=1)


def _attempt(attempt: Attempt, *, shows_network: bool) -> dict[str, Any]:
    fields = _fields(attempt, _ATTEMPT)
    fields["worker"] = str(attempt.worker) if attempt.worker and shows_network else None
    fields["results"] = attempt.result_rows
    fields["phases_ms"] = attempt.phase_times
    fields["transfer"] = attempt.transfer_lines
    fields["session"] = None
    if session := attempt.session:
        fields["session"] = _fields(session, _SESSION) | {
            "opening": session.opening_lines,
            "closing": session.closing_lines,
        }
        if not shows_network:
            fields["session"]["local_address"] = None
            fields["session"] = _without(fields["session"], private_addresses(session))
    return fields


def _without(value: Any, addresses: Sequence[str]) -> Any:
    """Return a value of JSON in whose texts these addresses are replaced."""
    if isinstance(value, str):
        return without_addresses(value, addresses)
    if isinstance(value, list | tuple):
        return [_without(one, addresses) for one in value]
    if isinstance(value, dict):
        return {name: _without(one, addresses) for name, one in value.items()}
    return value


def _fields(row: Model, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    """Return a reason as its code, its arguments and its sentence in English."""
    return value.as_dict() if isinstance(value, Reason) else value
