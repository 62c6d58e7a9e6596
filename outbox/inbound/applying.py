"""Apply reports to the recipients that they are about: bounces, delays, receipts, complaints.

Messages, the notifications of providers and the sweep come here. The rule that matched a report
decides what it may change (docs/decisions/0032). The reply with which the server accepted a message
stays in the recipient's columns, beside the report.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from outbox.db.clock import database_now
from outbox.inbound.inspection import Action
from outbox.inbound.suppressing import suppress_reported
from outbox.models import (
    Attempt,
    Event,
    EventKind,
    InboundKind,
    InboundReport,
    MatchRule,
    Outcome,
    Recipient,
    State,
    transitions,
)
from outbox.models.rollup import lock_shared
from outbox.models.transitions import Transition
from outbox.reasons import NO_REASON, Reason, ReasonCode

PENDING_AT_ONCE = 500
_WORDED_MAX = 50  # reports of one message
_WORDS_MAX = 300  # characters
_DELIVERED = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})
# Anyone who knows an address can write a report that only the address and the time match.
_WEAK = frozenset({MatchRule.ADDRESS})
_TRANSFERRED = (Outcome.SENT, Outcome.PARTIAL, Outcome.UNCERTAIN)


class Said(Enum):
    """What a report says about a recipient."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    READ = "read"
    COMPLAINT = "complaint"


def said_by(report: InboundReport) -> Said:
    """Return what a report says. The action of a recipient precedes the kind of the message."""
    if report.kind == InboundKind.COMPLAINT:
        return Said.COMPLAINT
    if report.action in _DELIVERED:
        return Said.DELIVERED
    if report.kind == InboundKind.RECEIPT:
        return Said.READ
    if report.action == Action.DELAYED or report.kind == InboundKind.DELAY:
        return Said.DELAYED
    return Said.FAILED


def apply_reports(
    reports: Iterable[InboundReport], using: str, *, actor: AbstractBaseUser | None = None
) -> None:
    """Apply stored reports, in the caller's transaction; those without a recipient do nothing.

    A report about a recipient that is being sent to becomes pending, and the sweep applies it after
    the outcome. `actor` is the user who decided that the reports are right.
    """
    matched = [one for one in reports if one.recipient_id is not None]
    if matched:
        _Applied(matched, using, actor).write()


def apply_pending(using: str) -> int:
    """Apply reports whose recipients were being sent to when they arrived; return how many."""
    with transaction.atomic(using=using):
        waiting = InboundReport.objects.using(using).filter(is_pending=True)
        ready = waiting.exclude(recipient__state=State.SENDING).order_by("pk")
        locked = ready.select_for_update(skip_locked=True, no_key=True, of=("self",))
        reports = list(locked.select_related("message")[:PENDING_AT_ONCE])
        for report in reports:
            report.is_pending = False
        apply_reports(reports, using)
        InboundReport.objects.using(using).filter(
            pk__in=[one.pk for one in reports if not one.is_pending]
        ).update(is_pending=False)
    return len(reports)


class _Applied:
    """What some reports change, collected so that each statement is about all of them."""

    def __init__(
        self, reports: Sequence[InboundReport], using: str, actor: AbstractBaseUser | None
    ) -> None:
        self._reports = reports
        self._number = Counter(one.message_id for one in reports)
        self._using = using
        self._actor = actor
        self._now = database_now(using)
        ids = {one.recipient_id for one in reports if one.recipient_id is not None}
        rows = Recipient.objects.using(using).filter(pk__in=ids).order_by("pk")
        # Locked until the end of the transaction: an outcome cannot come in between.
        self._recipients = {one.pk: one for one in rows.select_for_update(no_key=True)}
        self._earlier = _attempts_after_others(self._recipients.values(), using)
        self._changed: dict[tuple[Transition, Reason], list[int]] = defaultdict(list)
        self._notes: dict[Reason, dict[int, Recipient]] = defaultdict(dict)
        self._bounced: list[tuple[InboundReport, Recipient]] = []

    def write(self) -> None:
        """Decide on each report, and write what follows."""
        for report in self._reports:
            recipient = self._recipients.get(report.recipient_id or 0)
            if recipient is not None:
                self._decide(report, recipient)
        rows = InboundReport.objects.using(self._using)
        rows.bulk_update(self._reports, ["is_applied", "is_pending"])
        self._lock_messages()
        for (step, reason), ids in self._changed.items():
            transitions.apply(
                step,
                Recipient.objects.using(self._using).filter(pk__in=ids),
                step.targets[0],
                now=self._now,
                actor=self._actor,
                reason=reason,
            )
        for reason, recipients in self._notes.items():
            _note(recipients.values(), reason, self._now, self._using)
        suppress_reported(
            self._reports, self._recipients, self._now, self._using, actor=self._actor
        )
        if self._bounced:
            # Only bounces need the rules, whose compilation would delay each sweep of a cron job.
            from outbox.inbound.counting import count_bounces

            count_bounces(self._bounced, self._now, self._using)

    def _lock_messages(self) -> None:
        """Lock the messages before the first transition: each one locks only its own."""
        if len(self._changed) > 1:
            ids = {pk for changed in self._changed.values() for pk in changed}
            lock_shared({self._recipients[pk].message_id for pk in ids}, self._using)

    def _decide(self, report: InboundReport, recipient: Recipient) -> None:
        said = said_by(report)
        is_weak = report.matched_by in _WEAK
        changes = said in {Said.FAILED, Said.DELIVERED, Said.READ}
        waits = changes and not is_weak and recipient.state == State.SENDING
        if waits and not self._is_about_earlier(report, recipient):
            report.is_pending = True
            return
        if said is Said.FAILED:
            self._decide_bounce(report, recipient, is_weak=is_weak)
            return
        report.is_applied = not is_weak
        confirms = said in {Said.DELIVERED, Said.READ} and recipient.state == State.UNCERTAIN
        if confirms and not is_weak and not self._is_about_earlier(report, recipient):
            self._change(transitions.CONFIRM, recipient, State.SENT, _DELIVERED_REASON)
        else:
            reason = _reason_of(report, said)
            if is_weak:
                reason = Reason(ReasonCode.REPORT_NOT_PROVED, what=reason)
            self._note(recipient, reason)

    def _decide_bounce(self, report: InboundReport, recipient: Recipient, *, is_weak: bool) -> None:
        if is_weak:
            why = Reason(ReasonCode.REPORT_UNSIGNED)
        elif self._is_about_earlier(report, recipient):
            why = Reason(ReasonCode.REPORT_OF_EARLIER_ATTEMPT)
        elif recipient.state in transitions.BOUNCE.sources:
            report.is_applied = True
            self._change(transitions.BOUNCE, recipient, State.BOUNCED, self._bounce_reason(report))
            self._bounced.append((report, recipient))
            return
        elif recipient.state == State.BOUNCED:  # a second report; both say so
            report.is_applied = True
            return
        else:
            why = Reason(ReasonCode.REPORT_OF_OTHER_STATE)
        self._note(recipient, Reason(ReasonCode.REPORT_NOT_APPLIED, why=why))

    def _note(self, recipient: Recipient, reason: Reason) -> None:
        self._notes[reason][recipient.pk] = recipient  # once, if a message says it repeatedly

    def _bounce_reason(self, report: InboundReport) -> Reason:
        """Return why a recipient bounced, with the server's words if there are only a few."""
        reason = Reason(ReasonCode.REPORTED_UNDELIVERABLE)
        if self._number[report.message_id] > _WORDED_MAX:  # each reason takes several statements
            return reason
        return reason.with_reply((report.text or report.status)[:_WORDS_MAX])

    def _change(self, step: Transition, recipient: Recipient, to: State, reason: Reason) -> None:
        self._changed[step, reason].append(recipient.pk)
        recipient.state = to  # for further reports about it

    def _is_about_earlier(self, report: InboundReport, recipient: Recipient) -> bool:
        """Return whether a report is about an attempt before the recipient's latest one.

        The ids of a report may say so. Otherwise only the time shows it: that of the report's Date,
        as a bounce may have waited in the mailbox. It matters only if an earlier attempt may have
        sent the message.
        """
        if report.matched_by == MatchRule.PERSON:
            return False
        if report.attempt_key is not None:
            return report.attempt_key != recipient.attempt_id
        started_at = self._earlier.get(recipient.attempt_id or 0)
        if started_at is None:
            return False
        message = report.message
        written_at = (message.sent_at if message is not None else None) or report.at
        return written_at < started_at.replace(microsecond=0)  # a Date has whole seconds


_DELIVERED_REASON = Reason(ReasonCode.REPORTED_DELIVERED)


def _attempts_after_others(
    recipients: Iterable[Recipient], using: str
) -> Mapping[int, dt.datetime]:
    """Return when the latest attempts started that follow one which may have sent the message."""
    retried = [one for one in recipients if one.attempts > 1 and one.attempt_id]
    if not retried:
        return {}
    attempts = Attempt.objects.using(using).order_by()
    latest = attempts.filter(pk__in={one.attempt_id for one in retried})
    started = dict(latest.values_list("pk", "started_at"))
    sent = attempts.filter(
        message__in={one.message_id for one in retried}, outcome__in=_TRANSFERRED
    )
    first_sent: dict[int, int] = {}
    for message_id, pk in sent.values_list("message_id", "pk"):
        first_sent[message_id] = min(pk, first_sent.get(message_id, pk))
    return {
        one.attempt_id: started[one.attempt_id]
        for one in retried
        if one.attempt_id in started
        and first_sent.get(one.message_id, one.attempt_id) < one.attempt_id
    }


def _reason_of(report: InboundReport, said: Said) -> Reason:
    if said is Said.DELAYED:
        return Reason(ReasonCode.REPORTED_DELAYED)
    if said is Said.DELIVERED and report.action == Action.RELAYED:
        return Reason(ReasonCode.REPORTED_RELAYED)
    if said is Said.DELIVERED:
        return _DELIVERED_REASON
    if said is Said.READ:
        return Reason(ReasonCode.REPORTED_READ, action=report.action or "displayed")
    return Reason(ReasonCode.REPORTED_AS_SPAM)


def _note(recipients: Iterable[Recipient], reason: Reason, now: dt.datetime, using: str) -> None:
    """Record what a report says without a change of state."""
    Event.objects.using(using).bulk_create(
        Event(
            message_id=one.message_id,
            recipient_id=one.pk,
            kind=EventKind.REPORTED,
            reason=reason or NO_REASON,
            at=now,
        )
        for one in recipients
    )
