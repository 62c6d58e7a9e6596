"""Notifications of Amazon SES: JSON in the text of an email, as SNS sends it to subscribers."""

import json
from collections.abc import Iterator
from typing import Any

from outbox.inbound.address_text import is_plausible
from outbox.inbound.inspection import Action, MessageKind, RecipientReport
from outbox.inbound.prose import MAX_RECIPIENTS
from outbox.inbound.report_fields import read_status, without_type
from outbox.inbound.reports import Report
from outbox.inbound.subject_matter import SubjectMatter
from outbox.inbound.verdict import one_line

_MARKS = ('"notificationType":', '"eventType":', '"Type":"Notification"')
_KINDS = {
    "bounce": MessageKind.BOUNCE,
    "complaint": MessageKind.COMPLAINT,
    "delivery": MessageKind.RECEIPT,
    "deliverydelay": MessageKind.DELAY,
}
_LISTS = {
    "bounce": "bouncedRecipients",
    "complaint": "complainedRecipients",
    "delivery": "recipients",
    "deliverydelay": "delayedRecipients",
}
_ACTIONS = {"bounce": Action.FAILED, "deliverydelay": Action.DELAYED, "delivery": Action.DELIVERED}


def read_ses(matter: SubjectMatter) -> Report | None:
    """Read a notification of Amazon SES."""
    found = _object(matter.received.text)
    if isinstance(inner := found.get("Message"), str):  # SNS without "raw message delivery"
        found = _object(inner)
    name = str(found.get("notificationType") or found.get("eventType") or "").lower()
    body = {key.lower(): value for key, value in found.items()}.get(name)
    if name not in _KINDS or not isinstance(body, dict):
        return None
    rows = body.get(_LISTS[name])
    reports = tuple(_reports(matter, name, rows if isinstance(rows, list) else []))
    return Report(_KINDS[name], "SES notification", reports, original_message_id=_message_id(found))


def _object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, or an empty one."""
    start = text.find("{")
    first = "".join(text[start : start + 300].split()) if start >= 0 else ""
    if not any(mark in first for mark in _MARKS):
        return {}
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reports(matter: SubjectMatter, name: str, rows: list[Any]) -> Iterator[RecipientReport]:
    for entry in rows[:MAX_RECIPIENTS]:
        row = {"emailAddress": entry} if isinstance(entry, str) else entry
        address = row.get("emailAddress", "") if isinstance(row, dict) else ""
        if not isinstance(address, str) or not is_plausible(address):
            continue
        if name == "complaint":
            yield RecipientReport(address, "abuse", reason="complaint to Amazon SES")
            continue
        yield matter.report(
            address,
            _ACTIONS[name],
            status=read_status(str(row.get("status", ""))),
            reason=one_line(without_type(str(row.get("diagnosticCode", "")))),
        )


def _message_id(found: dict[str, Any]) -> str:
    mail = found.get("mail")
    headers = mail.get("commonHeaders") if isinstance(mail, dict) else None
    value = headers.get("messageId") if isinstance(headers, dict) else None
    return one_line(str(value or "").strip("<> "))
