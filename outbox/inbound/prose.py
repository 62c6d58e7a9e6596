"""Bounces and delay notices that are not standard reports: what servers wrote for people.

Two of three signs make a notification: its sender is a mail system, its subject is one of a
notification, and its text says that delivery failed. People write vague subjects, too, so that
those count only from a mail system. A reply to a bounce has neither sign: its subject begins with
"Re:".
"""

from outbox.inbound import signs
from outbox.inbound.address_text import report_address
from outbox.inbound.bare_names import bare_recipients
from outbox.inbound.inspection import Action, RecipientReport
from outbox.inbound.notification import CERTAIN, LIKELY, POSSIBLE, Candidate, may_be_template
from outbox.inbound.subject_matter import SubjectMatter

MAX_RECIPIENTS = 1_000
_SIGNS_NEEDED = 2  # of three


def prose_sign(matter: SubjectMatter) -> str:
    """Return why a message is a notification about a delivery, or ""."""
    received = matter.received
    if may_be_template(matter.low_text) and matter.notification.is_template:
        return "prose"
    is_system = bool(matter.system)
    is_vague = is_system or signs.has_vague_system_sender(received)
    has_subject = signs.has_subject_of_notification(received, vague=is_vague)
    if signs.is_reply_or_forward(received):
        is_likely = any(one.score >= LIKELY for one in matter.candidates)
        return "prose" if has_subject and is_likely and matter.notification.is_failure else ""
    missing = _SIGNS_NEEDED - is_system - has_subject
    # The text has to be searched for hundreds of expressions, so not if it cannot decide.
    if missing > 1 or (missing == 1 and not matter.notification.is_failure):
        return ""
    return f"prose, {matter.system}" if matter.system else "prose"


def prose_action(matter: SubjectMatter) -> Action:
    """Return what a text says of its recipients."""
    return Action.DELAYED if matter.notification.is_delay else Action.FAILED


def prose_reports(
    matter: SubjectMatter, action: Action, status: str = ""
) -> tuple[RecipientReport, ...]:
    """Return the reports about the recipients that the text, or the original message, names."""
    found = _named_recipients(matter)
    if not found and (original := matter.only_original_recipient):
        found = {original: ""}
    return tuple(
        matter.report(address, action, status=status, reason=reason)
        for address, reason in list(found.items())[:MAX_RECIPIENTS]
    )


def names_recipients(matter: SubjectMatter) -> bool:
    """Return whether the text or the header names the recipients."""
    return bool(_named_recipients(matter))


def reasons_by_address(matter: SubjectMatter) -> dict[str, str]:
    """Return the text at each address, by the address in lower case."""
    return _reasons(matter.candidates)


def _reasons(found: list[Candidate]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for one in sorted(found, key=lambda one: -one.score):
        reasons.setdefault(one.address.casefold(), one.reason)
    return reasons


def _named_recipients(matter: SubjectMatter) -> dict[str, str]:
    """Return the recipients that the message names, with the text at each."""
    found = matter.candidates
    reasons = _reasons(found)
    if named := _failed_recipients_field(matter):
        return {one: reasons.get(one.casefold(), "") for one in named}
    if bare := bare_recipients(matter.notification, matter.received.first("from")):
        return bare
    others = matter.other_addresses
    found = [one for one in found if one.score >= CERTAIN or one.address.casefold() not in others]
    best = max((one.score for one in found), default=0)
    level = min(LIKELY, best)
    if level < POSSIBLE or (level < LIKELY and matter.only_original_recipient):
        return {}
    distinct = {one.address.casefold(): one.address for one in found if one.score >= level}
    return {address: reasons[key] for key, address in distinct.items()}


def _failed_recipients_field(matter: SubjectMatter) -> list[str]:
    """Return the addresses in X-Failed-Recipients, which Exim and Gmail add."""
    values = ",".join(matter.received.every("x-failed-recipients")[:100]).split(",")
    return [one for value in values[:MAX_RECIPIENTS] if (one := report_address(value))]
