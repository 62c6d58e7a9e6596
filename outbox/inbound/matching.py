"""Link a received message to the message that it replies to or reports on.

`match` runs in the transaction that stores the received message. A report moves a recipient only if
the rule that matched it allows it (docs/decisions/0032). `applying` does that, once for all
messages of a transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Sequence
from dataclasses import dataclass

from django.db import transaction

from outbox.inbound.applying import apply_reports
from outbox.inbound.candidates import (
    Candidate,
    addresses_max,
    candidates_of_reply,
    candidates_of_report,
    refers_to_none,
    with_address,
)
from outbox.inbound.inspection import Inspection, MessageKind, RecipientReport
from outbox.inbound.sensitive import known_action, remove_quoted_content
from outbox.inbound.served import EVERY_MESSAGE, Reportable, Served, spellings_of
from outbox.mail.server_replies import Effect
from outbox.models import (
    InboundMessage,
    InboundReport,
    MatchRule,
    Message,
    Origin,
    Recipient,
    State,
)
from outbox.models.suppression import folded_address
from outbox.texts import storable

REPLIES = frozenset({MessageKind.MESSAGE, MessageKind.AUTO_REPLY})
_SENT = (State.SENT, State.BOUNCED)
RULE_OF_OWN_REPORT = "own-report"  # a report of the site, which explains nothing new
_TEXT_MAX = 2_000  # characters of a text that is stored


def match(
    message: InboundMessage,
    inspection: Inspection,
    using: str,
    *,
    known: Container[str] | None = None,
) -> list[InboundReport]:
    """Link a message that was just stored, and store what it reports, in the transaction.

    `known` are the ids in replies that `known_ids` found for a batch; None for a single message.
    Return the reports to apply. The caller applies those of all its messages together, after the
    last one: `apply_reports` locks recipients and messages. Reports that the site itself sent are
    linked, but not among them.
    """
    if message.account is None:  # it was deleted: no mailbox, no owner
        return []
    inspection = inspection.storable()
    if inspection.kind in REPLIES and refers_to_none(inspection, known):
        return []  # most messages
    served = Served(message.account)
    incoming = _Incoming(message.received_at, message=message)
    if inspection.kind in REPLIES:
        found = next(candidates_of_reply(inspection, served, using, known), None)
        if found is not None:
            incoming.link(found.message.pk, found.rule, using)
            if inspection.kind == MessageKind.AUTO_REPLY:  # it repeats the subject
                incoming.protect(found.message, using)
        return []
    reports = _matched(incoming, inspection, served, using)
    reports = reports or _by_address(incoming, inspection, served, using)
    is_own = _is_own(inspection, using)
    if is_own:
        for report in reports:
            report.rule, report.effect = RULE_OF_OWN_REPORT, ""
    stored = InboundReport.objects.using(using).bulk_create(reports)
    return [] if is_own else stored


def _is_own(inspection: Inspection, using: str) -> bool:
    """Return whether the site wrote the report itself.

    It repeats what the recipients' rows said when it was written. A retry may have changed them.
    """
    if not inspection.message_id:
        return False
    same = Message.objects.using(using).filter(message_id=inspection.message_id)
    return same.filter(origin=Origin.REPORT).exists()


def match_notification(inspection: Inspection, provider: str, at: dt.datetime, using: str) -> int:
    """Apply what a provider says about a message that it accepted; return how many reports matched.

    The provider has proved who it is. What it says is about messages of any account. `at` is when
    it happened. The notification of an unknown message is not stored: the provider may send
    messages of other programs as well.
    """
    named = inspection.storable()
    with transaction.atomic(using=using):
        found = _matched(_Incoming(at, provider=provider), named, EVERY_MESSAGE, using)
        reports = [one for one in found if one.recipient_id is not None]
        for report in reports:
            report.matched_by = MatchRule.SIGNAL
        InboundReport.objects.using(using).bulk_create(reports)
        apply_reports(reports, using)
    return len(reports)


@dataclass(frozen=True, slots=True)
class _Incoming:
    """What brought the reports: a stored message, or the notification of a provider."""

    at: dt.datetime
    message: InboundMessage | None = None
    provider: str = ""

    def link(self, message_id: int, rule: MatchRule, using: str) -> None:
        """Link the stored message to the message that it is about."""
        if self.message is not None:
            self.message.replies_to_id = message_id
            self.message.matched_by = rule
            self.message.save(using=using, update_fields=["replies_to", "matched_by"])

    def protect(self, about: Message, using: str) -> None:
        """Remove the content of a sensitive message from the stored report about it."""
        if about.is_sensitive and self.message is not None:
            remove_quoted_content(self.message, using)


def _said(inspection: Inspection) -> Sequence[RecipientReport]:
    return inspection.recipients or (RecipientReport(""),)


def _matched(
    incoming: _Incoming, inspection: Inspection, served: Reportable, using: str
) -> list[InboundReport]:
    """Return the unsaved reports, each with the recipient that it is about if one was found.

    Return [] if no message was found.
    """
    said = _said(inspection)
    addresses = [one for report in said for one in _addresses(report)]
    first: Candidate | None = None
    for candidate in candidates_of_report(inspection, addresses, served, using):
        known = _recipients(candidate, addresses, using)
        if known:
            incoming.link(candidate.message.pk, candidate.rule, using)
            incoming.protect(candidate.message, using)
            return [_report(incoming, one, inspection, candidate, known) for one in said]
        first = first or candidate
    if first is None:
        return []
    incoming.link(first.message.pk, first.rule, using)
    incoming.protect(first.message, using)
    return [_report(incoming, one, inspection, first, {}) for one in said]


def _addresses(report: RecipientReport) -> list[str]:
    return [one for one in (report.address, report.final_recipient) if one]


def _recipients(candidate: Candidate, addresses: Sequence[str], using: str) -> dict[str, Recipient]:
    """Return the reported recipients of a message, by folded address.

    The only recipient of a message has the key "" as well: a report that names no address, or came
    to the signed return path, is about it.
    """
    rows = Recipient.objects.using(using).filter(message=candidate.message.pk)
    if candidate.message.recipient_count == 1:
        only = list(rows[:2])
        known = {folded_address(one.address): one for one in only}
        wanted = {folded_address(one) for one in addresses}
        if len(only) == 1 and (
            not wanted or candidate.rule == MatchRule.RETURN_PATH or known.keys() & wanted
        ):
            known[""] = only[0]
            return known
        return {}
    if not addresses:
        return {}
    found = rows.with_address_in(spellings_of(addresses)).order_by("pk")
    return {folded_address(one.address): one for one in reversed(found)}


def _report(
    incoming: _Incoming,
    said: RecipientReport,
    inspection: Inspection,
    candidate: Candidate,
    known: dict[str, Recipient],
) -> InboundReport:
    named = [folded_address(one) for one in _addresses(said)]
    recipient = next((known[one] for one in named if one in known), None)
    if recipient is None:
        is_about_only = not named or candidate.rule == MatchRule.RETURN_PATH
        recipient = known.get("") if is_about_only else None
    return _row(
        incoming,
        said,
        inspection,
        recipient=recipient,
        matched_by=candidate.rule.value if recipient else "",
        attempt_key=_attempt_key(candidate, recipient),
        is_sensitive=candidate.message.is_sensitive,
    )


def _attempt_key(candidate: Candidate, recipient: Recipient | None) -> int | None:
    """Return the attempt that a report is about, if its ids say so; 0 for an earlier one.

    A recipient has the queue id of the attempt that last sent the message. A retry does not remove
    it. A token is that of all attempts since a person's last retry: it names the attempt only if
    there was one.
    """
    if recipient is None:
        return None
    if candidate.queue_ids:
        if recipient.remote_queue_id not in candidate.queue_ids:
            return None
        return recipient.attempt_id if recipient.state in _SENT else 0
    if candidate.attempts_at_retry is None:
        return None
    if candidate.attempts_at_retry != recipient.attempts_at_retry:
        return 0
    recorded = recipient.attempts - recipient.attempts_at_retry
    is_first = recorded == (0 if recipient.state == State.SENDING else 1)
    return recipient.attempt_id if is_first else None


def _by_address(
    incoming: _Incoming, inspection: Inspection, served: Served, using: str
) -> list[InboundReport]:
    """Return the reports of a message without any known id."""
    said = _said(inspection)
    by_address: dict[str, Recipient] = {}
    for address in addresses_max([one.address for one in said if one.address]):
        found = with_address(address, served, incoming.at, using)
        if found is not None:
            by_address[address] = found
    if by_address:
        first = next(iter(by_address.values()))
        incoming.link(first.message_id, MatchRule.ADDRESS, using)
    sensitive = next((one for one in by_address.values() if one.message.is_sensitive), None)
    if sensitive is not None:
        incoming.protect(sensitive.message, using)
    return [
        _row(
            incoming,
            one,
            inspection,
            recipient=by_address.get(one.address),
            matched_by=MatchRule.ADDRESS.value if one.address in by_address else "",
            is_sensitive=sensitive is not None,
        )
        for one in said
    ]


def _row(
    incoming: _Incoming,
    said: RecipientReport,
    inspection: Inspection,
    *,
    recipient: Recipient | None,
    matched_by: str,
    attempt_key: int | None = None,
    is_sensitive: bool = False,
) -> InboundReport:
    effect = said.effect.value if said.effect else ""
    if inspection.kind == MessageKind.BOUNCE and not said.action:
        effect = Effect.SOFT.value  # a notification that names no recipient
    if recipient is not None and effect == Effect.HARD and not _is_named(said, recipient):
        # Messages to the recipient are forwarded there, perhaps to others as well.
        effect = Effect.SOFT.value
    return InboundReport(
        message=incoming.message,
        provider=incoming.provider[:40],
        recipient=recipient,
        matched_by=matched_by,
        kind=inspection.kind.value,
        address=storable(said.address or (recipient.address if recipient else ""))[:320],
        action=known_action(said.action) if is_sensitive else storable(said.action)[:40],
        status=storable(said.status)[:12],
        effect=effect,
        # A server may quote the message, of which nothing may be stored.
        text="" if is_sensitive else storable(said.reason)[:_TEXT_MAX],
        rule=said.rule[:60],
        at=incoming.at,
        attempt_key=attempt_key,
    )


def _is_named(said: RecipientReport, recipient: Recipient) -> bool:
    named = {folded_address(one) for one in _addresses(said)}
    return folded_address(recipient.address) in named
