"""Notifications of providers about messages that they accepted: Amazon SES, and django-anymail.

They change the same states as bounces that were fetched, by the same function.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.utils.dateparse import parse_datetime

from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.inbound.inspect import inspect
from outbox.inbound.inspection import Action, Inspection, MessageKind, RecipientReport
from outbox.inbound.matching import match_notification
from outbox.inbound.verdict import classify
from outbox.mail.replies import bare_message_id
from outbox.mail.server_replies import Effect
from outbox.reply_rules import rules_in_force
from outbox.texts import storable

_SES = "Amazon SES"
_HEADER = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
# The types of django-anymail's tracking events that say something about delivery.
_KINDS = {
    "bounced": (MessageKind.BOUNCE, Action.FAILED),
    "rejected": (MessageKind.BOUNCE, Action.FAILED),
    "failed": (MessageKind.BOUNCE, Action.FAILED),
    "deferred": (MessageKind.DELAY, Action.DELAYED),
    "delivered": (MessageKind.RECEIPT, Action.DELIVERED),
}
_HARD = frozenset({"invalid", "bounced"})  # of anymail's reasons


def apply_ses(text: str) -> int:
    """Apply a notification of Amazon SES, a JSON object; return how many reports matched.

    Raise ValueError if the text is not such an object.
    """
    found = json.loads(text)
    mail = found.get("mail") if isinstance(found, dict) else None
    if not isinstance(mail, dict):
        raise ValueError("It is not a notification about a message.")  # noqa: TRY004  # of the text
    mail.pop("headers", None)  # of the message, of any length; the rest has its ids
    source = _HEADER + json.dumps(found, separators=(",", ":")).encode()
    inspection = inspect(source, rules_in_force())
    if inspection.sign != "SES notification":
        return 0  # of another kind: opened, clicked, rendered
    return _apply(inspection, str(mail.get("messageId") or ""), _SES, _time_of(found))


def _time_of(found: dict[str, Any]) -> dt.datetime | None:
    for part in found.values():
        if isinstance(part, dict) and part is not found["mail"]:
            try:
                at = parse_datetime(str(part.get("timestamp") or ""))
            except ValueError:
                continue
            if at is not None and at.tzinfo is not None:
                return at
    return None


def apply_tracking(event: Any, provider: str) -> int:
    """Apply a tracking event of django-anymail; return how many reports matched."""
    kind_of_event = str(event.event_type or "")
    address, message_id = str(event.recipient or ""), str(event.message_id or "")
    if not message_id or not address:
        return 0
    if kind_of_event == "complained":
        kind = MessageKind.COMPLAINT
        report = RecipientReport(address, "abuse", reason=f"complaint to {provider}")
    elif kind_of_event in _KINDS:
        kind, action = _KINDS[kind_of_event]
        report = _tracked(event, address, action)
    else:
        return 0
    inspection = Inspection(kind, "tracking event", (report,))
    return _apply(inspection, message_id, provider, event.timestamp)


def _tracked(event: Any, address: str, action: Action) -> RecipientReport:
    text = storable(str(event.mta_response or event.description or event.reject_reason or ""))
    found = classify(text, "", action, "", rules_in_force())
    effect = found.effect
    if action == Action.FAILED and not found.rule and event.reject_reason in _HARD:
        effect = Effect.HARD
    return RecipientReport(address, action, found.status, effect, found.reason, found.rule)


def _apply(inspection: Inspection, provider_id: str, provider: str, at: dt.datetime | None) -> int:
    """Match by the provider's own id, with which it accepted the message, then by Message-ID."""
    using = get_conf().database
    bare = bare_message_id(provider_id)
    named = Inspection(
        inspection.kind,
        inspection.sign,
        inspection.recipients,
        original_message_id=inspection.original_message_id or bare,
        queue_ids=tuple(dict.fromkeys(one for one in (provider_id, bare) if one))[:2],
    )
    return match_notification(named, provider, at or database_now(using), using)
