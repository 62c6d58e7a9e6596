"""Reports on a message, and what a user corrects in them.

correct_report(report, message, ReportDecision.NOT_THIS, actor=request.user)
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q

from outbox.api import suppressions
from outbox.backoff import moment_after
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.inbound.applying import apply_reports
from outbox.inbound.counting import uncount_bounce
from outbox.mail.server_replies import Effect
from outbox.models import (
    Event,
    EventKind,
    InboundKind,
    InboundReport,
    MatchRule,
    Message,
    Recipient,
    Source,
    State,
    Suppression,
    transitions,
)
from outbox.models.access import can_change_list
from outbox.models.suppression import folded_address
from outbox.reasons import Reason, ReasonCode

CORRECTABLE = (InboundKind.BOUNCE, InboundKind.COMPLAINT)
RULE_OF_USER = "user"  # the id of the rule if a user chose what a bounce means
REPORTS_SHOWN = 50


class ReportDecision(StrEnum):
    """What a user says about a bounce."""

    NOT_THIS = "not_this"  # it is not about this delivery
    HARD = "hard"
    SOFT = "soft"


def reports_on(message: Message) -> list[InboundReport]:
    """Return the latest reports on a message, oldest first.

    Those that no recipient was found for are among them.
    """
    rows = InboundReport.objects.filter(recipient__message=message.pk)
    loose = InboundReport.objects.filter(recipient=None, message__replies_to=message.pk)
    newest = [
        *rows.select_related("recipient").order_by("-pk")[:REPORTS_SHOWN],
        *loose.order_by("-pk")[:REPORTS_SHOWN],
    ]
    return sorted(newest, key=lambda report: report.pk)[-REPORTS_SHOWN:]


def correct_report(
    report: InboundReport,
    message: Message,
    decision: ReportDecision,
    *,
    actor: AbstractBaseUser | None = None,
) -> bool:
    """Apply what a user says about a report on the message; return whether anything changed.

    A complaint can only be about another delivery. A bounce that is not about this delivery
    restores the recipient's former state, unless another one says the same. A bounce that is hard
    or soft is applied, also if it had changed nothing. An entry of the suppression list that the
    report led to is removed, unless it is hard. The list changes only if the user may change it.
    """
    using = get_conf().database
    with transaction.atomic(using=using):
        rows = InboundReport.objects.using(using).filter(kind__in=CORRECTABLE)
        about = Q(recipient__message=message.pk) | Q(recipient=None, message__replies_to=message.pk)
        found = rows.filter(about, pk=report.pk).select_for_update(of=("self",)).first()
        if found is None:
            return False
        if found.recipient_id is None:
            found.recipient = _only_recipient(message, using)
        if decision == ReportDecision.NOT_THIS:
            _unlink(found, message, actor, using)
            return True
        if found.kind != InboundKind.BOUNCE:
            return False
        return _classify(found, decision, actor, using)


def _only_recipient(message: Message, using: str) -> Recipient | None:
    rows = list(Recipient.objects.using(using).filter(message=message.pk)[:2])
    return rows[0] if len(rows) == 1 else None


def _classify(
    report: InboundReport, decision: ReportDecision, actor: AbstractBaseUser | None, using: str
) -> bool:
    if report.recipient is None:
        return False
    report.effect = Effect(decision.value).value
    report.rule = RULE_OF_USER
    if not report.is_applied:  # its own rule could not do that
        report.matched_by = MatchRule.PERSON
    report.is_pending = False
    report.save(using=using)
    if decision == ReportDecision.SOFT:
        _unsuppress(report, report.recipient, actor)
    apply_reports([report], using, actor=actor)
    return True


def _unlink(
    report: InboundReport, message: Message, actor: AbstractBaseUser | None, using: str
) -> None:
    recipient = report.recipient
    if recipient is not None:  # a correction of another report on it must not count this one
        rows = Recipient.objects.using(using).filter(pk=recipient.pk)
        list(rows.select_for_update(no_key=True).values_list("pk"))
    was_applied = report.is_applied
    report.recipient, report.matched_by = None, ""
    report.is_applied = report.is_pending = False
    report.save(using=using)
    inbound = report.message
    if inbound is not None:
        others = inbound.reports.filter(recipient__message=message.pk)
        if inbound.replies_to_id == message.pk and not others.exists():
            inbound.replies_to, inbound.matched_by = None, ""
            inbound.save(using=using, update_fields=["replies_to", "matched_by"])
    if recipient is not None:
        _unsuppress(report, recipient, actor)
        was_bounced = was_applied and report.kind == InboundKind.BOUNCE
        if was_bounced and _restore(recipient, actor, using):
            uncount_bounce(report, recipient, using)
        else:
            _note(recipient, actor, using)


def _restore(recipient: Recipient, actor: AbstractBaseUser | None, using: str) -> bool:
    """Restore the state before the bounce; return whether it changed."""
    others = recipient.reports.filter(kind=InboundKind.BOUNCE, is_applied=True)
    if recipient.last_attempt_at is not None:  # those before it are about an earlier attempt
        started_at = recipient.last_attempt_at.replace(microsecond=0)  # `at` may have whole seconds
        others = others.filter(at__gte=started_at)
    if others.exists():
        return False
    bounced = recipient.events.filter(kind=EventKind.BOUNCED).order_by("-pk").first()
    was_uncertain = bounced is not None and bounced.from_state == State.UNCERTAIN
    now, moment = database_now(using), None
    reason = Reason(ReasonCode.REPORT_CORRECTED)
    if was_uncertain and not Source.objects.using(using).filter(pk=recipient.message_id).exists():
        reason = Reason(ReasonCode.REPORT_CORRECTED_WITHOUT_CONTENT)
    elif was_uncertain:
        moment = _resend_at(recipient.message, now)
    changed = transitions.apply(
        transitions.CORRECT_BOUNCE,
        Recipient.objects.using(using).filter(pk=recipient.pk),
        State.UNCERTAIN if was_uncertain else State.SENT,
        now=now,
        moment=moment,
        actor=actor,
        reason=reason,
    )
    return bool(changed)


def _resend_at(message: Message, now: dt.datetime) -> dt.datetime | None:
    """Return when the policy sends an uncertain message again; None if a person decides."""
    account = message.account
    wait = transitions.resend_after(
        message.on_uncertain,
        account.on_uncertain if account else None,
        account.resend_after if account else None,
    )
    return None if wait is None else moment_after(now, wait)


def _note(recipient: Recipient, actor: AbstractBaseUser | None, using: str) -> None:
    Event.objects.using(using).create(
        message_id=recipient.message_id,
        recipient=recipient,
        kind=EventKind.BOUNCE_CORRECTED,
        actor_id=actor.pk if actor else None,
        reason=Reason(ReasonCode.REPORT_CORRECTED),
        at=database_now(using),
    )


def _unsuppress(
    report: InboundReport, recipient: Recipient, actor: AbstractBaseUser | None
) -> None:
    """Remove the entry of the suppression list that the report led to."""
    if actor is not None and not can_change_list(actor, recipient.message):
        return
    entries = Suppression.objects.using(get_conf().database).filter(
        account=recipient.message.account_id,
        account__isnull=False,
        folded=folded_address(recipient.address),
        report_key=report.pk,
    )
    suppressions.remove(entries, actor)
