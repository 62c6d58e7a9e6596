"""Suppress the addresses that reports are about, as far as the account and the site want it.

Only what is about the recipient counts: never a failure of our infrastructure, and no report that
anyone could have written. The sweep holds waiting messages to the addresses.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Value
from django.db.models.functions import Lower

from outbox.conf import get_conf
from outbox.mail.server_replies import Effect
from outbox.models import (
    Account,
    AuditAction,
    AuditEntry,
    InboundKind,
    InboundReport,
    MatchRule,
    Message,
    Recipient,
    SuppressionReason,
)
from outbox.models.access import can_change_list
from outbox.models.suppression import add_new, folded_address

_EVIDENCE_MAX = 500  # characters
_KINDS = (InboundKind.BOUNCE, InboundKind.COMPLAINT)
# All recipients of a message know its ids, and could complain in the name of another one.
_TRUSTED = frozenset({MatchRule.SIGNAL, MatchRule.PERSON})


def suppress_reported(
    reports: Iterable[InboundReport],
    recipients: Mapping[int, Recipient],
    now: dt.datetime,
    using: str,
    *,
    actor: AbstractBaseUser | None = None,
) -> None:
    """Suppress the recipients of applied reports, in the caller's transaction.

    If a user decided that the reports are right, only for accounts whose list the user may change.
    """
    applied = [
        (one, recipient)
        for one in reports
        if one.is_applied and (recipient := recipients.get(one.recipient_id or 0))
    ]
    of_interest = [pair for pair in applied if pair[0].kind in _KINDS]
    if not of_interest:
        return
    accounts = _accounts({row.message_id for _, row in of_interest}, actor, using)
    wanted: dict[tuple[int, str], dict[str, InboundReport]] = defaultdict(dict)
    for report, recipient in of_interest:
        account = accounts.get(recipient.message_id)
        reason = _reason(report, recipient, account, now, using) if account else None
        if account is not None and reason is not None:
            wanted[account.pk, reason][recipient.address] = report
    for (account_id, reason), found in sorted(wanted.items()):
        new = add_new(
            {address: _evidence_of(report) for address, report in found.items()},
            account_id,
            reason=reason,
            actor=actor,
            using=using,
            report_keys={address: report.pk for address, report in found.items()},
        )
        names = [address for address in found if folded_address(address) in new]
        _record(names, account_id, reason, actor, using)


def _evidence_of(report: InboundReport) -> str:
    """Return what the suppression list says about a report."""
    text = " ".join(part for part in (report.status, report.text) if part)
    return text[:_EVIDENCE_MAX] or str(report.kind)


def _accounts(
    message_ids: set[int], actor: AbstractBaseUser | None, using: str
) -> dict[int, Account]:
    messages = Message.objects.using(using).filter(pk__in=message_ids, account__isnull=False)
    return {
        one.pk: one.account
        for one in messages.select_related("account")
        if one.account and (actor is None or can_change_list(actor, one))
    }


def _reason(
    report: InboundReport, recipient: Recipient, account: Account, now: dt.datetime, using: str
) -> str | None:
    """Return why a report suppresses its recipient, or None if it does not."""
    conf = get_conf()
    if report.kind == InboundKind.COMPLAINT:
        if report.matched_by not in _TRUSTED:
            return None
        is_wanted = conf.suppress_complained and account.suppress_bounces is not False
        return SuppressionReason.COMPLAINED if is_wanted else None
    choice = account.suppress_bounces
    if not (conf.suppress_bounced if choice is None else choice):
        return None
    if report.effect == Effect.HARD:
        return SuppressionReason.BOUNCED
    if report.effect == Effect.SOFT and _is_one_too_many(recipient, account, now, using):
        return SuppressionReason.BOUNCED
    return None


def _is_one_too_many(recipient: Recipient, account: Account, now: dt.datetime, using: str) -> bool:
    """Return whether enough messages of the account to the address came back, with this one."""
    conf = get_conf()
    if conf.suppress_soft_bounces <= 0:
        return False
    soft = InboundReport.objects.using(using).filter(
        is_applied=True,
        effect=Effect.SOFT.value,
        at__gte=now - dt.timedelta(seconds=conf.suppress_soft_window),
    )
    # The address in the report may be the one that messages are forwarded to.
    same = soft.alias(folded=Lower("recipient__address")).filter(
        folded=Lower(Value(recipient.address))
    )
    others = same.filter(kind=InboundKind.BOUNCE, recipient__message__account=account.pk)
    messages = others.exclude(recipient__message=recipient.message_id).order_by()
    earlier = messages.values_list("recipient__message", flat=True).distinct()
    return len(earlier[: conf.suppress_soft_bounces]) + 1 >= conf.suppress_soft_bounces


def _record(
    addresses: Iterable[str],
    account_id: int,
    reason: str,
    actor: AbstractBaseUser | None,
    using: str,
) -> None:
    """Add to the audit log. Without an actor, the report alone led to the entries."""
    AuditEntry.objects.using(using).bulk_create(
        AuditEntry(
            action=AuditAction.SUPPRESSED,
            actor_key=str(actor.pk) if actor else "",
            actor_name=actor.get_username() if actor else "",
            target_kind="outbox.suppression",
            target_name=address[:255],
            details={"account": account_id, "reason": str(reason), "by": "report"},
        )
        for address in addresses
    )
