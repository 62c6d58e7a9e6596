"""A user may sign in at the provider with another mailbox than that of the account.

An ID token names it at once, where the scopes of the provider ask for one. Otherwise the server
rejects the login of the connection test, because a token opens one mailbox only.
"""

from django.contrib import messages
from django.utils.translation import gettext as _

from outbox.api import oauth
from outbox.delivery.probe import ProbeReport
from outbox.models import Account, OAuthAccess
from outbox.smtp import Phase
from outbox.web.auth import UserRequest


def warn_of_other_login(request: UserRequest, account: Account, login: str) -> None:
    """Show a warning if the user signed in with another address than the account's."""
    if not login or login.casefold() in _addresses(account):
        return
    text = _(
        "You signed in as %(login)s, but the account is for %(address)s. If its connection test "
        "fails, connect again and sign in as %(address)s."
    )
    messages.warning(request, text % {"login": login, "address": _mailbox(account)})


def other_login_text(account: Account | None, report: ProbeReport) -> str:
    """Return what to do if the server rejected the login of a connected account; "" otherwise."""
    if account is None or report.ok or report.steps[-1].name != Phase.AUTH:
        return ""
    connection = oauth.connection_of(account)
    if connection is None or connection.provider.access != OAuthAccess.USER:
        return ""
    if connection.is_rejected:  # the page says what to do
        return ""
    text = _(
        "If you signed in at %(name)s with another address, connect again and sign in as "
        "%(address)s."
    )
    return text % {"name": connection.provider.name, "address": _mailbox(account)}


def _mailbox(account: Account) -> str:
    return account.username or account.from_address


def _addresses(account: Account) -> set[str]:
    return {account.username.casefold(), account.from_address.casefold()}
