"""Suppressing the failed recipients of many messages, on the lists of the messages' accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import AbstractBaseUser

from outbox.api.reasons import reason_of
from outbox.api.suppressions import is_about_recipient
from outbox.models import FAILURES, Message, Recipient, SuppressionReason
from outbox.models.suppression import add_new, folded_address


@dataclass(slots=True)
class Suppressed:
    """What became of failed recipients. The messages are named by their ids."""

    added: list[Recipient] = field(default_factory=list)  # whose addresses are on a list now
    known: set[int] = field(default_factory=set)  # with a recipient that was on the list already
    others: set[int] = field(default_factory=set)  # with a failure that is not about the recipient


def suppress_failed(
    messages: Sequence[Message], actor: AbstractBaseUser | None, using: str
) -> Suppressed:
    """Suppress the recipients whose failure is about them. The sweep holds waiting messages."""
    accounts = {message.pk: message.account_id for message in messages}
    failed = Recipient.objects.using(using).filter(message__in=list(accounts), state__in=FAILURES)
    found = Suppressed()
    by_account: dict[int, list[Recipient]] = defaultdict(list)
    for row in failed.order_by("pk"):
        account_id = accounts[row.message_id]
        if account_id is None or not is_about_recipient(row):
            found.others.add(row.message_id)
        else:
            by_account[account_id].append(row)
    for account_id, rows in by_account.items():
        evidence = {row.address: reason_of(row) for row in rows}
        reason = SuppressionReason.BOUNCED
        new = add_new(evidence, account_id, reason=reason, actor=actor, using=using)
        for row in rows:
            if folded_address(row.address) in new:
                found.added.append(row)
            else:
                found.known.add(row.message_id)
    return found
