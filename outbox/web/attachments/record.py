"""All that is known of a mail's fate, as a text to read and as JSON for a program.

Passwords stand in neither: transcripts are masked before they are stored.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, prefetch_related_objects

from outbox.models import Attempt, Message
from outbox.models.states import shown_status
from outbox.web.messages.conversation import Conversation, read_conversation
from outbox.web.wording import LABELS, inert, offset

_MESSAGE = (
    "id", "origin", "status", "subject", "from_header", "envelope_sender", "message_id",
    "in_reply_to", "priority", "tags", "metadata", "idempotency_key", "size", "recipient_count",
    "attachment_count", "needs_8bit", "needs_smtputf8", "created_at", "queued_at", "send_at",
    "expires_at",
)  # fmt: skip
_RECIPIENT = (
    "id", "role", "name", "address", "state", "attempts", "first_attempt_at", "last_attempt_at",
    "next_attempt_at", "resend_at", "expires_at", "settled_at", "reply_code",
    "reply_enhanced", "reply_text", "reply_command", "remote_host", "remote_queue_id", "reason",
)  # fmt: skip
_ATTEMPT = (
    "id", "started_at", "dot_marked_at", "ended_at", "outcome", "is_resend", "number_in_session",
    "phase", "fault", "detail", "reply_code", "reply_enhanced", "reply_text", "sent_sha256",
    "late_reply",
)  # fmt: skip
_SESSION = (
    "id", "host", "address", "port", "local_address", "started_at", "ended_at", "greeting",
    "extensions", "tls", "auth_mechanism", "tried", "phases_ms",
)  # fmt: skip
_EVENT = ("id", "kind", "recipient_id", "from_state", "to_state", "why", "at")


def attempts_of(message: Message) -> list[Attempt]:
    """Return the attempts in their order, each with its session; they may ask for recipients."""
    prefetch_related_objects([message], "recipients")
    return list(message.attempts.select_related("session", "worker").order_by("pk"))


def as_text(message: Message, attempts: Sequence[Attempt]) -> str:
    """Write every conversation, client and server told apart, in milliseconds."""
    head = f"Mail {message.pk}: {inert(message.subject)}\nMessage-ID: {inert(message.message_id)}\n"
    talks = (read_conversation(one, number) for number, one in enumerate(attempts, start=1))
    return "\n".join([head, *("\n".join(_talk(talk)) for talk in talks)]) + "\n"


def _talk(talk: Conversation) -> Iterator[str]:
    attempt = talk.attempt
    began = f"{attempt.started_at:%Y-%m-%d %H:%M:%S.%f %Z}"
    yield f"Attempt {talk.number}: {LABELS[attempt.outcome]}, {began}, {inert(talk.place)}"
    if attempt.detail:
        yield inert(attempt.detail)
    for stretch in talk.stretches:
        if stretch.lines:
            yield f"  {stretch.title}"
        for line in stretch.lines:
            first, *more = inert(line.text).split("\n")
            yield f"  {offset(line.ms):>12}  {line.who[0].upper()}  {first}"
            yield from (f"{'':19}{rest}" for rest in more)
    yield ""


def as_json(message: Message, attempts: Sequence[Attempt]) -> str:
    """Write the rows as they stand, without the mail itself."""
    states = {row.state for row in message.recipients.all()}
    found = {
        "message": _fields(message, _MESSAGE) | {"status": shown_status(message.status, states)},
        "account": message.account.name if message.account else None,
        "recipients": [_fields(row, _RECIPIENT) for row in message.recipients.all()],
        "attempts": [_attempt(row) for row in attempts],
        "events": [
            _fields(row, _EVENT) | {"actor": row.actor.get_username() if row.actor else None}
            for row in message.events.select_related("actor")
        ],
    }
    return json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=True, indent=1)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    told = _fields(attempt, _ATTEMPT)
    told["worker"] = str(attempt.worker) if attempt.worker else None
    told["results"] = attempt.result_rows
    told["phases_ms"] = attempt.phase_times
    told["transfer"] = attempt.transfer_lines
    told["session"] = None
    if session := attempt.session:
        told["session"] = _fields(session, _SESSION) | {
            "opening": session.opening_lines,
            "closing": session.closing_lines,
        }
    return told


def _fields(row: Model, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
