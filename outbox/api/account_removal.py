"""Delete accounts: what a deletion affects, and the deletion with its entry in the audit log."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import ngettext_lazy

from outbox.api import audit
from outbox.api.accounts import waiting_messages
from outbox.api.sizes import CappedCount
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import (
    Account,
    AuditAction,
    InboundMessage,
    Mailbox,
    Message,
    Pause,
    SentCopy,
    ShareDecision,
    Suppression,
)

COUNT_MAX = 1000  # rows; above it, a confirmation says that there are more
_DELETIONS_MAX = 5  # of one account, each after others had added rows to it


@dataclass(frozen=True, slots=True)
class RemovalEffects:
    """How many rows a deletion affects.

    Waiting messages are held. All messages, and received ones, are kept without the account. The
    others are deleted.
    """

    waiting_messages: int
    messages: int
    received_messages: int
    mailboxes: int
    sent_copies: int  # that are still to be stored in the folder of sent messages
    suppressions: int
    pauses: int
    shares: int  # users who have accepted

    def in_sentences(self) -> list[str]:
        """Return what a deletion does besides deleting the accounts themselves."""
        counts = asdict(self)
        return [
            capfirst(text % {"count": CappedCount.of(counts[name], COUNT_MAX)})
            for name, text in _SENTENCES.items()
            if counts[name]
        ]


_SENTENCES = {
    "waiting_messages": ngettext_lazy(
        "%(count)s message is waiting to be sent. It will be held.",
        "%(count)s messages are waiting to be sent. They will be held.",
        "count",
    ),
    "messages": ngettext_lazy(
        "%(count)s message in all, sent or not, will be kept without the account.",
        "%(count)s messages in all, sent or not, will be kept without the account.",
        "count",
    ),
    "received_messages": ngettext_lazy(
        "%(count)s received message will be kept without the account.",
        "%(count)s received messages will be kept without the account.",
        "count",
    ),
    "mailboxes": ngettext_lazy(
        "%(count)s mailbox will be deleted. Nothing is fetched from it any more.",
        "%(count)s mailboxes will be deleted. Nothing is fetched from them any more.",
        "count",
    ),
    "sent_copies": ngettext_lazy(
        "%(count)s sent message will not be copied to the server any more.",
        "%(count)s sent messages will not be copied to the server any more.",
        "count",
    ),
    "suppressions": ngettext_lazy(
        "%(count)s suppressed address will be deleted.",
        "%(count)s suppressed addresses will be deleted.",
        "count",
    ),
    "pauses": ngettext_lazy(
        "%(count)s pause of delivery will be deleted.",
        "%(count)s pauses of delivery will be deleted.",
        "count",
    ),
    "shares": ngettext_lazy(
        "Sharing with %(count)s user will end.",
        "Sharing with %(count)s users will end.",
        "count",
    ),
}


def effects_of_removal(
    accounts: Iterable[Account], *, limit: int | None = COUNT_MAX
) -> RemovalEffects:
    """Return what the deletion of accounts affects. Counts end one above the limit."""
    using = get_conf().database
    keys = [account.pk for account in accounts]
    of_accounts = Q(account__in=keys)
    pauses = Pause.objects.using(using).in_force(database_now(using))
    copies = SentCopy.objects.using(using).filter(mailbox__account__in=keys, next_at__isnull=False)
    shares = ShareDecision.objects.using(using).filter(
        Q(account__users=F("user")) | Q(account__groups__user=F("user")),
        of_accounts,
        is_accepted=True,
    )

    def count(rows: QuerySet[Any, Any]) -> int:
        rows = rows.order_by()
        return (rows if limit is None else rows[: limit + 1]).count()

    return RemovalEffects(
        waiting_messages=count(waiting_messages(keys)),
        # No index has the account of a message. A few among a million take a scan of 0.3 seconds,
        # which the deletion makes as well.
        messages=count(Message.objects.using(using).filter(of_accounts)),
        received_messages=count(InboundMessage.objects.using(using).filter(of_accounts)),
        mailboxes=count(Mailbox.objects.using(using).filter(of_accounts)),
        sent_copies=count(copies),
        suppressions=count(Suppression.objects.using(using).filter(of_accounts)),
        pauses=count(pauses.filter(of_accounts | Q(destination__account__in=keys))),
        shares=count(shares.values("user").distinct()),
    )


def remove_account(account: Account, *, request: HttpRequest) -> None:
    """Delete an account, and record it in the audit log with what the deletion affects."""
    using = get_conf().database
    with transaction.atomic(using=using):
        effects = asdict(effects_of_removal([account], limit=None))
        audit.record(AuditAction.ACCOUNT_REMOVED, request=request, target=account, **effects)
        _delete(account, using)


def _delete(account: Account, using: str) -> None:
    """Delete an account, again if a row was added to it after its rows had been read.

    A lookup may have added an MX site, or an app a message. The account is not locked before: a
    fetch locks its mailbox first and the account at its commit.
    """
    key = account.pk
    for number in range(1, _DELETIONS_MAX + 1):
        account.pk = key  # Django has removed it from an account that it deleted
        try:
            with transaction.atomic(using=using):
                account.delete(using=using)
                if connections[using].vendor == "postgresql":  # SQLite has one writer at a time
                    # Now, not at the commit. From here on, nothing can be added any more.
                    connections[using].check_constraints()
        except IntegrityError:
            if number == _DELETIONS_MAX:
                raise
        else:
            return
