"""Classify a message: ordinary, a bounce, a delay notice, an auto-reply, a complaint, a receipt.

Machine-readable reports decide before prose, and prose before the signs of an auto-reply. Prose
counts only in a message that a mail system sent, so that a person who quotes a bounce sends none.
"""

from collections.abc import Sequence

from outbox.inbound import signs
from outbox.inbound.address_text import first_address
from outbox.inbound.identifiers import with_identifiers
from outbox.inbound.inspection import Action, Inspection, MessageKind, RecipientReport
from outbox.inbound.prose import names_recipients, prose_action, prose_reports, prose_sign
from outbox.inbound.received import Received
from outbox.inbound.reports import Report, read_complaint, read_delivery_status, read_receipt
from outbox.inbound.ses_json import read_ses
from outbox.inbound.subject_matter import SubjectMatter
from outbox.mail.replies import bare_message_id
from outbox.mail.reply_kinds import RULES, Rule

_MAX_WRAPPED = 2  # messages around a report
_REPORTS = frozenset(
    {MessageKind.BOUNCE, MessageKind.DELAY, MessageKind.COMPLAINT, MessageKind.RECEIPT}
)
_READERS = (read_complaint, read_delivery_status, read_receipt, read_ses)


def inspect(source: bytes, rules: Sequence[Rule] = RULES) -> Inspection:
    """Return what a message is, and what it says about the recipients of another one."""
    return inspect_received(Received(source), rules)


def inspect_received(received: Received, rules: Sequence[Rule] = RULES) -> Inspection:
    """Return the same for a message that is parsed already."""
    return _inspect(received, rules, _MAX_WRAPPED)


def _inspect(received: Received, rules: Sequence[Rule], wrapped: int) -> Inspection:
    matter = SubjectMatter(received, rules)
    found = _own(matter)
    enclosed = received.enclosed
    if not (enclosed is None or wrapped == 0 or _is_complete(matter, found)):
        source = enclosed.source[enclosed.start : enclosed.end]
        inner = _inspect(Received(source), rules, wrapped - 1)
        if inner.kind in _REPORTS and inner.recipients:
            found = inner
    return with_identifiers(found, received)


def _is_complete(matter: SubjectMatter, found: Inspection) -> bool:
    """Return whether a message itself says what it is, so that the enclosed one is the original.

    A gateway or a mailing list may enclose a bounce. A person who forwards one adds a text.
    """
    if found.kind in _REPORTS:
        return not found.sign.startswith("prose") or names_recipients(matter)
    return bool(matter.received.text.strip()) and not matter.system


def _own(matter: SubjectMatter) -> Inspection:
    """Return what a message says without the one that it encloses."""
    for read in _READERS:
        if report := read(matter):
            return _from_report(matter, report)
    if sign := prose_sign(matter):
        action = prose_action(matter)
        reports = prose_reports(matter, action)
        has_subject = signs.has_subject_of_notification(matter.received, vague=True)
        if reports or (matter.system and has_subject):
            kind = MessageKind.DELAY if action == Action.DELAYED else MessageKind.BOUNCE
            return _from_report(matter, Report(kind, sign, reports))
    received = matter.received
    own = bare_message_id(received.first("message-id"))
    sign = signs.auto_reply_sign(received)
    if not sign:
        return Inspection(MessageKind.MESSAGE, "", (), own, _replied_id(received))
    sender = first_address(received.first("from"))
    reports = (RecipientReport(sender),) if sender else ()
    return Inspection(MessageKind.AUTO_REPLY, sign, reports, own, _replied_id(received))


def _from_report(matter: SubjectMatter, report: Report) -> Inspection:
    received = matter.received
    return Inspection(
        report.kind,
        report.sign,
        report.recipients,
        bare_message_id(received.first("message-id")),
        report.original_message_id or matter.original_message_id or _replied_id(received),
        report.envelope_id,
    )


def _replied_id(received: Received) -> str:
    """Return the Message-ID that a message refers to, or ""."""
    for name in ("x-microsoft-original-message-id", "in-reply-to"):
        if value := received.first(name):
            return bare_message_id(value)
    references = received.first("references")[-2_000:].split()
    return bare_message_id(references[-1]) if references else ""
