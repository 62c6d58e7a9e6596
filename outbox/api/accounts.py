"""The account that a message is sent with, and its destination."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise

from outbox import wakeup
from outbox.api.outgoing import check_account
from outbox.api.values import read_text, shown
from outbox.conf import get_conf
from outbox.db.bulk import fetch
from outbox.delivery.circuit import report_success
from outbox.exceptions import NoAccountError
from outbox.models import (
    SMARTHOST_KEY,
    UNRESOLVED_KEY,
    Account,
    Circuit,
    Destination,
    Recipient,
    State,
)
from outbox.models.account import Route
from outbox.models.message import WAITING_FOLDERS
from outbox.models.transitions import HOLD

_OF_DEFAULT = """
SELECT d.id, d.account_id FROM outbox_destination d
JOIN outbox_account a ON a.id = d.account_id
WHERE a.is_app_default AND a.is_active AND d.key = %s AND a.route = %s"""
# The account's route is that of the database: the caller may have read the account before a change.
_OF_ACCOUNT = f"""
SELECT d.id, d.account_id, a.route FROM outbox_account a
JOIN outbox_destination d ON d.account_id = a.id AND d.key = CASE a.route
    WHEN '{Route.DIRECT.value}' THEN '{UNRESOLVED_KEY}' ELSE '{SMARTHOST_KEY}' END
WHERE a.id = %s"""  # noqa: S608  # constants only
_OF_DOMAINS = """
SELECT domain, destination_id FROM outbox_domainsite WHERE account_id = %s AND domain IN ({})"""
_DOMAINS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class DestinationIds:
    """The ids of the destination of a message and of its account."""

    destination_id: int  # of a direct account, that of domains which are not remembered
    account_id: int
    is_direct: bool = False


def default_account() -> Account:
    """Return the account for messages that name none: the marked one, otherwise the only one.

    The accounts of users do not count: apps send what only they may read. Raise NoAccountError.
    """
    using = get_conf().database
    accounts = Account.objects.using(using).for_apps()
    marked = accounts.filter(is_app_default=True).first()
    if marked is not None:
        return marked
    some = list(accounts.all()[:2])
    if len(some) != 1:
        problem = "No account is the default" if some else "There is no account to send with"
        raise NoAccountError(
            f"{problem}. Make one with `manage.py outbox_account --from-settings`, or mark one as "
            "“used for mail from apps” in the admin."
        )
    return some[0]


def account_named(given: Account | str | int | None) -> Account:
    """Return the account given as itself, its name or its id; None means the default account.

    Raise NoAccountError, and InvalidMessageError for any other value.
    """
    if given is None:
        return default_account()
    if isinstance(given, int) and not isinstance(given, bool):
        by: dict[str, Any] = {"pk": given}
    elif isinstance(given, str | Promise):
        by = {"name": read_text("account", given)}
    else:
        return check_account(given)
    found = list(Account.objects.using(get_conf().database).filter(**by)[:2])
    if len(found) != 1:
        problem = "no account" if not found else "more than one account"
        raise NoAccountError(f"There is {problem} {shown(given)} to send with.")
    if not found[0].is_active:
        raise NoAccountError(f"The account {shown(given)} is disabled.")
    return found[0]


def destination_of(account: Account | None) -> DestinationIds:
    """Return the account's destination, created on first use; None means the default account.

    Raise NoAccountError.
    """
    using = get_conf().database
    if account is None:
        found = fetch(using, _OF_DEFAULT, [SMARTHOST_KEY, Route.SMARTHOST.value])
        if found:
            return DestinationIds(*found[0])
        account = default_account()
    found = fetch(using, _OF_ACCOUNT, [account.pk])
    if found:
        destination_id, account_id, route = found[0]
        return DestinationIds(destination_id, account_id, route == Route.DIRECT)
    stored = Account.objects.using(using).filter(pk=account.pk).first()
    if stored is None:
        raise NoAccountError(f"The account {account.name!r} was deleted.")
    key = UNRESOLVED_KEY if stored.is_direct else SMARTHOST_KEY
    made, _ = Destination.objects.using(using).get_or_create(account=stored, key=key)
    return DestinationIds(made.pk, stored.pk, stored.is_direct)


def remembered_destinations(account_id: int, domains: Iterable[str], using: str) -> dict[str, int]:
    """Return the destination of each domain to which a direct account has sent before."""
    wanted = iter(dict.fromkeys(domains))
    found: dict[str, int] = {}
    while some := list(islice(wanted, _DOMAINS_AT_ONCE)):
        sql = _OF_DOMAINS.format(", ".join(["%s"] * len(some)))
        found.update(fetch(using, sql, [account_id, *some]))
    return found


def destinations_of(accounts: Iterable[Account | None]) -> dict[int | None, DestinationIds]:
    """Return the destinations of these accounts by account id, created on first use.

    Raise NoAccountError.
    """
    named = {account.pk if account else None: account for account in accounts}
    return {pk: destination_of(account) for pk, account in named.items()}


def count_waiting(account: Account, author: AbstractBaseUser) -> int:
    """Return how many messages of an author wait to be sent with an account."""
    return waiting_messages([account.pk]).filter(message__owner=author.pk).count()


def waiting_messages(account_ids: Collection[int]) -> QuerySet[Recipient, Any]:
    """Return the ids of the messages that wait to be sent with accounts."""
    waiting = Recipient.objects.using(get_conf().database).filter(
        message__account__in=account_ids,
        message__folder__in=WAITING_FOLDERS,  # no index has the account
        state__in=(*HOLD.sources, State.SENDING),
    )
    # The columns of the default order would be compared as well, where the caller takes a slice.
    return waiting.order_by().values("message").distinct()


def close_circuit(destination: Destination) -> bool:
    """Close the circuit of a destination. Return False if it was closed already."""
    using = get_conf().database
    held = Destination.objects.using(using).exclude(circuit=Circuit.CLOSED)
    if not held.filter(pk=destination.pk).update(circuit_needs_person=False):
        return False
    report_success(destination.pk, using)
    wakeup.notify(using)
    return True


def retry_connection(account: Account) -> int:
    """Close the open circuits of an account, so that its messages are tried; return how many.

    Destinations that the account no longer uses are left as they are.
    """
    using = get_conf().database
    rows = Destination.objects.using(using).filter(Destination.fitting(), account=account.pk)
    # In one order: two callers inside transactions lock several rows.
    return sum(map(close_circuit, rows.exclude(circuit=Circuit.CLOSED).order_by("pk")))


def retry_after_commit(account: Account, retried: Callable[[], None] | None = None) -> None:
    """Close the circuits of an account once the present transaction commits.

    `retried` is called if any was open. An error is logged by Django: what was saved stays, and
    the other functions that wait for the commit are called.
    """

    def retry() -> None:  # Django names it in the log, which `partial` has no name for
        if retry_connection(account) and retried is not None:
            retried()

    transaction.on_commit(retry, using=get_conf().database, robust=True)
