"""Machine-readable reports: of delivery (RFC 3464), of reading (RFC 8098), of abuse (RFC 5965)."""

import re
from collections.abc import Iterator

from outbox.inbound import signs
from outbox.inbound.address_text import first_address, report_address, same_address
from outbox.inbound.inspection import Action, MessageKind, RecipientReport
from outbox.inbound.prose import MAX_RECIPIENTS, prose_action, prose_reports, reasons_by_address
from outbox.inbound.received import MAX_REPORT, report_text
from outbox.inbound.report_fields import (
    Block,
    StatusBlock,
    is_status_report,
    read_blocks,
    status_blocks,
)
from outbox.inbound.subject_matter import SubjectMatter
from outbox.inbound.verdict import one_line
from outbox.mail.mime_reader import Entity
from outbox.mail.replies import bare_message_id

_FAILURES = frozenset({Action.FAILED, Action.DELAYED})
_STARTS = (
    "reporting-mta",
    "final-recipient",
    "original-recipient",
    "original-envelope-id",
    "arrival-date",
)
_RCPT_TO = re.compile(r"^original-rcpt-to:([^\n]*+)", re.IGNORECASE | re.MULTILINE)
_OUTLOOK = "x-hmxmroriginalrecipient"
_MAX_PARTS = 20  # delivery status notifications in one message
_WORD_MAX = 60  # characters of an action that a report names


class Report:
    """What a machine-readable part says."""

    def __init__(
        self,
        kind: MessageKind,
        sign: str,
        recipients: tuple[RecipientReport, ...],
        *,
        envelope_id: str = "",
        original_message_id: str = "",
    ) -> None:
        self.kind = kind
        self.sign = sign
        self.recipients = recipients
        self.envelope_id = one_line(envelope_id)
        self.original_message_id = original_message_id


def read_complaint(matter: SubjectMatter) -> Report | None:
    """Read a feedback report, or the form in which Outlook.com encloses a message."""
    parts = _parts(matter, "feedback-report")
    if not parts:
        field = matter.original_field(_OUTLOOK) or matter.received.first(_OUTLOOK)
        address = report_address(field) if field else ""
        if not address:
            return None
        found = RecipientReport(address, "abuse", reason="abuse")
        return Report(MessageKind.COMPLAINT, "X-HmXmrOriginalRecipient", (found,))
    text = report_text(parts[0])
    block = next(iter(read_blocks(text)), {})
    kind = _word(block.get("feedback-type", "")) or "abuse"
    reason = one_line(f"{kind}, reported by {block.get('user-agent', '') or 'a provider'}")
    addresses = _complained_recipients(matter, text, block)
    reports = tuple(RecipientReport(address, kind, reason=reason) for address in addresses)
    envelope_id = block.get("original-envelope-id", "")
    return Report(MessageKind.COMPLAINT, "feedback report", reports, envelope_id=envelope_id)


def _complained_recipients(matter: SubjectMatter, text: str, block: Block) -> list[str]:
    """Return the recipients; Original-Rcpt-To may be repeated (RFC 5965 3.2)."""
    values = _RCPT_TO.findall(text)[:MAX_RECIPIENTS]
    values += [block[name] for name in ("removal-recipient", "original-recipient") if name in block]
    found = [address for value in values if (address := report_address(value))]
    if not found and (original := matter.only_original_recipient):
        found = [original]
    return list(dict.fromkeys(found))


def read_receipt(matter: SubjectMatter) -> Report | None:
    """Read a disposition notification."""
    parts = _parts(matter, "disposition-notification")
    if not parts:
        return None
    block = next(iter(read_blocks(report_text(parts[0]))), {})
    original = report_address(block.get("original-recipient", ""))
    final = report_address(block.get("final-recipient", ""))
    address = original or final or first_address(matter.received.first("from"))
    message_id = bare_message_id(block.get("original-message-id", ""))
    disposition = block.get("disposition", "").lower()
    if "displayed" not in disposition and matter.notification.is_rejection:
        # Sieve's "reject" and some quota limits use a receipt for a bounce (RFC 5429 2.2).
        reports = prose_reports(matter, Action.FAILED) or (matter.report(address, Action.FAILED),)
        return Report(
            MessageKind.BOUNCE,
            "disposition-notification",
            reports,
            original_message_id=message_id,
        )
    action = _word(disposition.rpartition(";")[2].partition("/")[0]) or "displayed"
    other = "" if same_address(final, address) else final
    reports = (RecipientReport(address, action, final_recipient=other),) if address else ()
    return Report(
        MessageKind.RECEIPT, "disposition-notification", reports, original_message_id=message_id
    )


def read_delivery_status(matter: SubjectMatter) -> Report | None:
    """Read a delivery status notification, labeled as one or not."""
    texts, sign = _status_texts(matter)
    blocks = [block for text in texts for block in read_blocks(text)]
    if not blocks:
        return None
    found = list(status_blocks(blocks))
    envelope_id = next((value for b in blocks if (value := b.get("original-envelope-id"))), "")
    failures = [one for one in found if one.action in _FAILURES]
    if any(one.action for one in found) and not failures:
        reports = _status_reports(matter, [one for one in found if one.action])
        return Report(MessageKind.RECEIPT, sign, reports, envelope_id=envelope_id)
    reports = _status_reports(matter, failures)
    if not reports:
        action = failures[0].action if failures else None
        action = action or prose_action(matter)
        status = next((one.status for one in found if one.status), "")
        reports = prose_reports(matter, action, status)
        kind = MessageKind.DELAY if action == Action.DELAYED else MessageKind.BOUNCE
    else:
        failed = any(one.action == Action.FAILED for one in reports)
        kind = MessageKind.BOUNCE if failed else MessageKind.DELAY
    return Report(kind, sign, reports, envelope_id=envelope_id)


def _status_texts(matter: SubjectMatter) -> tuple[list[str], str]:
    """Return the texts of delivery status notifications, and how they were found."""
    parts = _parts(matter, "delivery-status")
    if parts:
        return list(_bounded(parts)), "delivery-status"
    received = matter.received
    is_expected = bool(matter.system) or (
        signs.has_subject_of_notification(received) and not signs.is_reply_or_forward(received)
    )
    for leaf in received.leaves:
        if leaf is received.enclosed:
            break
        text = report_text(leaf)
        if is_status_report(text) and (
            is_expected or text.lstrip()[:30].lower().startswith(_STARTS)
        ):
            return [_from_report(text)], "delivery-status without its type"
    return [], ""


def _status_reports(
    matter: SubjectMatter, blocks: list[StatusBlock]
) -> tuple[RecipientReport, ...]:
    prose: dict[str, str] = {}
    if not all(block.diagnostic for block in blocks):
        prose = reasons_by_address(matter)
    reports: dict[str, RecipientReport] = {}
    for block in blocks[:MAX_RECIPIENTS]:
        key = block.address.casefold()
        if not key or key in reports:
            continue
        final = "" if same_address(block.final, block.address) else block.final
        reports[key] = matter.report(
            block.address,
            block.action or Action.FAILED,
            status=block.status,
            reason=block.diagnostic or prose.get(key, "") or prose.get(final.casefold(), ""),
            final=final,
        )
    return tuple(reports.values())


def _bounded(parts: list[Entity]) -> Iterator[str]:
    """Yield the texts of parts, as much as one part may have: a report has one, or a few."""
    room = MAX_REPORT
    for part in parts[:_MAX_PARTS]:
        text = report_text(part)[:room]
        room -= len(text)
        if text:
            yield text


def _parts(matter: SubjectMatter, name: str) -> list[Entity]:
    return [leaf for leaf in matter.received.leaves if name in leaf.content_type]


def _word(value: str) -> str:
    return value.strip().partition(" ")[0].lower()[:_WORD_MAX]


def _from_report(text: str) -> str:
    """Return a text from the first field of a report on."""
    position = 0
    for line in text[:40_000].split("\n"):
        if line[:30].lower().startswith(_STARTS):
            return text[position:]
        position += len(line) + 1
    return text
