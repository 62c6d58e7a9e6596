"""How a mailbox is logged in to: with its own password, that of its account, or a token.

A password is decrypted only for the server that it was entered for. A token is sent only to the
servers of the provider that it is from; one of the site, to those of the account's operator. A
token that opens every mailbox of an organization is for the mailbox of the account only.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from dataclasses import replace
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured
from django.views.decorators.debug import sensitive_variables

from outbox.conf import get_conf
from outbox.delivery.token_service import token_of_site
from outbox.delivery.tokens import wait_for_access
from outbox.inbound.mail_server import (
    Login,
    LoginRefusedError,
    MailServerUnusableError,
    TemporaryError,
)
from outbox.models import (
    Account,
    Mailbox,
    MailProtocol,
    OAuthAccess,
    OAuthKind,
    OAuthProvider,
    OAuthToken,
)
from outbox.models.oauth import lacks_fetching, tokens_of
from outbox.models.secrets import SecretUnreadableError
from outbox.net.providers import by_host, have_same_operator
from outbox.oauth import TokenFault
from outbox.reasons import Reason, ReasonCode
from outbox.smtp import FaultKind, SmtpFault

RECENT = "recent:"  # before a username: Gmail then lists the messages of the last 30 days
_SECURITY: dict[str, Literal["none", "starttls", "tls"]] = {
    "none": "none",
    "starttls": "starttls",
    "tls": "tls",
}


def place_of(mailbox: Mailbox) -> str:
    """Return the hash of where the messages of a mailbox are: ids of another place mean nothing.

    It has no key, since it has to outlast a change of SECRET_KEY.
    """
    username = (mailbox.username or mailbox.account.username).removeprefix(RECENT)
    place = json.dumps([mailbox.protocol, mailbox.host.lower(), username])
    return hashlib.sha256(place.encode()).hexdigest()


@sensitive_variables()
def login_for(mailbox: Mailbox, using: str, *, secret: str | None = None) -> Login:
    """Return the login of a mailbox. `secret` replaces the stored password.

    Raise LoginRefusedError, MailServerUnusableError and TemporaryError without asking its server.
    """
    account = mailbox.account
    username = mailbox.username or account.username
    if secret:
        return _login(mailbox, username, secret)
    try:
        if mailbox.secret_encrypted:
            return _login(mailbox, username, mailbox.secret)
        if token := _token_of_site(mailbox):
            return _login(mailbox, username, token, is_token=True)
        if (row := tokens_of(account, using)) is not None:
            _check_provider(mailbox, row)
            return _login(mailbox, username, _token(account, using), is_token=True)
        if may_use_login_of_account(mailbox):
            is_token = account.secret_is_token
            return _login(mailbox, username, account.secret, is_token=is_token)
    except (SecretUnreadableError, ImproperlyConfigured):
        raise LoginRefusedError(Reason(ReasonCode.SECRET_UNREADABLE)) from None
    raise LoginRefusedError(Reason(ReasonCode.FETCH_NO_LOGIN))


@sensitive_variables()
def renewed_login(mailbox: Mailbox, login: Login, using: str) -> Login | None:
    """Return the login with a new token after the server rejected one; None if there is none.

    A token is renewed once, as `outbox.delivery.tokens` counts. Raise what `login_for` raises.
    """
    row = tokens_of(mailbox.account, using)
    if not login.is_token or row is None or get_conf().token_provider:
        return None
    try:
        rejected = row.generation if row.access_token == login.password else None
    except SecretUnreadableError:
        return None
    token = _token(mailbox.account, using, rejected=rejected)
    return replace(login, password=token) if token != login.password else None


def may_use_token(mailbox: Mailbox, using: str) -> bool:
    """Return whether a mailbox may be logged in to with a token of its account.

    Whether the site has a token for the account is not known without asking for it.
    """
    row = tokens_of(mailbox.account, using)
    if row is not None:
        return _is_for_username(row, mailbox)
    return bool(get_conf().token_provider) and _is_of_account(mailbox)


def is_foreign(host: str, provider: OAuthProvider) -> bool:
    """Return whether a server must not get the tokens of a provider."""
    if provider.kind == OAuthKind.CUSTOM:
        return not have_same_operator(host, provider.host)
    known = by_host(host)
    return known is None or known.oauth != provider.kind


def may_use_login_of_account(mailbox: Mailbox) -> bool:
    """Return whether the account's password is meant for the mailbox, too.

    It was entered for the server that sends. Another server must be of the same operator.
    """
    return mailbox.account.has_secret and _is_of_account(mailbox)


def _is_of_account(mailbox: Mailbox) -> bool:
    """Return whether user and operator are those of the account."""
    return _has_own_username(mailbox) and have_same_operator(mailbox.account.host, mailbox.host)


def _has_own_username(mailbox: Mailbox) -> bool:
    return mailbox.username.removeprefix(RECENT) in {"", mailbox.account.username}


def _is_for_username(row: OAuthToken, mailbox: Mailbox) -> bool:
    """Return whether a token may open the mailbox of a username.

    The consent of a user covers the mailboxes that the user may open, such as shared ones. That of
    an administrator covers every mailbox.
    """
    return row.provider.access == OAuthAccess.USER or _has_own_username(mailbox)


def allows_private(account: Account, host: str) -> bool:
    """Return whether a server may be in the private network.

    Staff trust an account with the server that sends, not with any other that its owner enters.
    """
    return get_conf().allow_private_hosts or (account.is_trusted and host == account.host)


def _check_provider(mailbox: Mailbox, row: OAuthToken) -> None:
    """Raise LoginRefusedError if a token is not for fetching, this username or this server."""
    if not _is_for_username(row, mailbox):
        raise LoginRefusedError(Reason(ReasonCode.FETCH_NO_LOGIN))
    if lacks_fetching(row):
        service = row.provider.endpoints.service
        raise LoginRefusedError(Reason(ReasonCode.FETCH_NOT_ALLOWED, service=service))
    if is_foreign(mailbox.host, row.provider):
        raise LoginRefusedError(
            Reason(
                ReasonCode.FETCH_TOKEN_FOREIGN,
                service=row.provider.endpoints.service,
                host=mailbox.host,
            )
        )


@sensitive_variables()
def _token_of_site(mailbox: Mailbox) -> str | None:
    """Return the site's token for a mailbox; None if it has none, or none for this server."""
    if not _is_of_account(mailbox):
        return None
    try:
        return token_of_site(mailbox.account)
    except TokenFault as fault:
        raise TemporaryError(fault.reason) from None


@sensitive_variables()
def _token(account: Account, using: str, *, rejected: int | None = None) -> str:
    try:
        access = wait_for_access(account, using, rejected=rejected)
    except SmtpFault as fault:
        # The person who connects the account again need not start the fetching as well.
        if fault.kind == FaultKind.AUTH_TEMPORARY:
            raise TemporaryError(fault.reason) from None
        raise MailServerUnusableError(fault.reason) from None
    if access.generation is None:  # it is the site's, or was entered for the server that sends
        raise LoginRefusedError(Reason(ReasonCode.FETCH_NO_LOGIN))
    return access.token


@sensitive_variables()
def _login(mailbox: Mailbox, username: str, password: str, **options: Any) -> Login:
    conf = get_conf()
    return Login(
        protocol="imap" if mailbox.protocol == MailProtocol.IMAP else "pop3",
        host=mailbox.host,
        port=mailbox.port,
        security=_SECURITY[mailbox.security],
        username=username,
        password=password,
        allows_private=allows_private(mailbox.account, mailbox.host),
        allows_plain_text=conf.allow_private_hosts and _is_loopback(mailbox.host),
        allows_apop=conf.allow_apop,
        ca_file=conf.ca_file or None,
        **options,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
