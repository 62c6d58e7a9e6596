"""Which account a mail leaves with, and the destination it goes to."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from outbox import bell
from outbox.api.outgoing import check_account
from outbox.api.values import read_text, shown
from outbox.conf import get_conf
from outbox.delivery import route
from outbox.exceptions import NoAccountError
from outbox.models import SMARTHOST_KEY, Account, Circuit, Destination
from outbox.models.bulk import fetch

_OF_DEFAULT = """
SELECT d.id, d.account_id FROM outbox_destination d
JOIN outbox_account a ON a.id = d.account_id
WHERE a.is_app_default AND d.key = %s"""
_OF_ACCOUNT = "SELECT id, account_id FROM outbox_destination WHERE account_id = %s AND key = %s"


@dataclass(frozen=True, slots=True)
class RouteIds:
    """Where a mail goes: all that queueing has to know of it."""

    destination_id: int
    account_id: int


def default_account() -> Account:
    """Return the account for mail that names none: the marked one, else the only one.

    Raises NoAccountError.
    """
    using = get_conf().database
    accounts = Account.objects.using(using)
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
    """Return the account that is given by itself, its name or its id; None: the default one.

    Raises NoAccountError, and InvalidMailError for any other value.
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
    return found[0]


def route_of(account: Account | None) -> RouteIds:
    """Return the account's destination, made on first use; None: of the default account.

    Raises NoAccountError.
    """
    using = get_conf().database
    if account is None:
        found = fetch(using, _OF_DEFAULT, [SMARTHOST_KEY])
        if found:
            return RouteIds(*found[0])
        account = default_account()
    found = fetch(using, _OF_ACCOUNT, [account.pk, SMARTHOST_KEY])
    if found:
        return RouteIds(*found[0])
    if not Account.objects.using(using).filter(pk=account.pk).exists():
        raise NoAccountError(f"The account {account.name!r} was deleted.")
    made, _ = Destination.objects.using(using).get_or_create(account=account, key=SMARTHOST_KEY)
    return RouteIds(made.pk, account.pk)


def close_circuit(destination: Destination) -> bool:
    """Let what is due to this destination leave at once; False when nothing held it."""
    using = get_conf().database
    held = Destination.objects.using(using).exclude(circuit=Circuit.CLOSED)
    if not held.filter(pk=destination.pk).update(circuit_needs_person=False):
        return False
    route.report_success(destination.pk, using)
    bell.ring(using)
    return True
