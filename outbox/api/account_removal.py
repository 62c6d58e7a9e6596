"""Delete accounts: what a deletion affects, and the deletion with its entry in the audit log."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from outbox.api import audit
from outbox.api.accounts import waiting_messages
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.models import Account, AuditAction, Mailbox, Pause, Suppression

_DELETIONS_MAX = 5  # of one account, each after others had added rows to it


@dataclass(frozen=True, slots=True)
class RemovalEffects:
    """How many rows a deletion affects. Waiting messages are held, the others are deleted."""

    waiting_messages: int
    suppressions: int
    pauses: int
    mailboxes: int


def effects_of_removal(accounts: Iterable[Account], *, limit: int | None = None) -> RemovalEffects:
    """Return what the deletion of accounts affects. Counts end one above the limit."""
    using = get_conf().database
    keys = [account.pk for account in accounts]
    of_accounts = Q(account__in=keys)
    pauses = Pause.objects.using(using).in_force(database_now(using))

    def count(rows: QuerySet[Any, Any]) -> int:
        return (rows if limit is None else rows[: limit + 1]).count()

    return RemovalEffects(
        waiting_messages=count(waiting_messages(keys)),
        suppressions=count(Suppression.objects.using(using).filter(of_accounts)),
        pauses=count(pauses.filter(of_accounts | Q(destination__account__in=keys))),
        mailboxes=count(Mailbox.objects.using(using).filter(of_accounts)),
    )


def remove_account(account: Account, *, request: HttpRequest) -> None:
    """Delete an account, and record it in the audit log with what the deletion affects."""
    using = get_conf().database
    with transaction.atomic(using=using):
        effects = asdict(effects_of_removal([account]))
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
