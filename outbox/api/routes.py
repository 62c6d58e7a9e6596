"""Which account a mail leaves with, and the destination it goes to."""

from outbox import bell
from outbox.conf import get_conf
from outbox.delivery import route
from outbox.exceptions import NoAccountError
from outbox.models import SMARTHOST_KEY, Account, Circuit, Destination


def default_account() -> Account:
    """Return the account for mail that names none: the marked one, else the only one.

    Raises NoAccountError.
    """
    return route_of(None).account


def route_of(account: Account | None) -> Destination:
    """Return the account's destination, made on first use; None: of the default account.

    Raises NoAccountError.
    """
    using = get_conf().database
    known = Destination.objects.using(using).filter(key=SMARTHOST_KEY).select_related("account")
    if account is None:
        found = known.filter(account__is_app_default=True).first()
        if found is not None:
            return found
        account = _default(using)
    found = known.filter(account=account).first()
    if found is None:
        found, _ = Destination.objects.using(using).get_or_create(
            account=account, key=SMARTHOST_KEY
        )
    return found


def _default(using: str) -> Account:
    accounts = Account.objects.using(using)
    marked = accounts.filter(is_app_default=True).first()
    if marked is not None:
        return marked
    some = list(accounts.all()[:2])
    if len(some) != 1:
        problem = "No account is the default." if some else "There is no account to send with."
        raise NoAccountError(f"{problem} Mark one as “used for mail from apps”.")
    return some[0]


def close_circuit(destination: Destination) -> bool:
    """Let what is due to this destination leave at once; False when nothing held it."""
    using = get_conf().database
    held = Destination.objects.using(using).exclude(circuit=Circuit.CLOSED)
    if not held.filter(pk=destination.pk).update(circuit_needs_person=False):
        return False
    route.report_success(destination.pk, using)
    bell.ring(using)
    return True
