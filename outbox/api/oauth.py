"""Connect accounts to providers by OAuth 2: which provider, and what a connection stores."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from outbox import oauth
from outbox.api.accounts import retry_after_commit
from outbox.api.mailboxes import fetch_with_new_login
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.db.unavailable import DATABASE_UNAVAILABLE
from outbox.delivery.token_service import client_of
from outbox.delivery.tokens import end_of
from outbox.models import Account, OAuthAccess, OAuthKind, OAuthProvider, OAuthToken
from outbox.models.oauth import WITH_NEW_TOKENS, lacks_fetching, tokens_of
from outbox.models.secrets import SecretUnreadableError
from outbox.net.providers import PROVIDERS
from outbox.reasons import NO_REASON, Reason, ReasonCode

logger = logging.getLogger(__name__)
_SECONDS = 10.0  # for the exchange of a code, since a user waits for it
_FAULTS_OF_CLIENT = {
    ReasonCode.TOKEN_CLIENT_REJECTED,
    ReasonCode.TOKEN_SERVER_FOREIGN,
    ReasonCode.MICROSOFT_SECRET_WRONG,
    ReasonCode.MICROSOFT_SECRET_EXPIRED,
    ReasonCode.MICROSOFT_APP_UNKNOWN,
}
_CORRECTED_PAUSE = 60.0  # seconds
_corrected_next: dict[str, float] = {}  # by database: when it is due in this process
_NAMES = {OAuthKind.GOOGLE: "Google", OAuthKind.MICROSOFT: "Microsoft"}

__all__ = [
    "app_provider_of",
    "connect",
    "connect_app",
    "connection_of",
    "disconnect",
    "exchange",
    "provider_for",
    "provider_of_account",
    "provider_to_fetch",
    "retry_corrected",
    "retry_rejected",
    "user_provider",
]


def provider_for(kind: str, domain: str) -> OAuthProvider | None:
    """Return the provider whose consent opens the mailboxes of a domain.

    `kind` is the known provider of the domain; empty if there is none.
    """
    using = get_conf().database
    offered = OAuthProvider.objects.using(using).filter(is_active=True, access=OAuthAccess.USER)
    for row in offered.filter(kind=OAuthKind.CUSTOM):
        if domain.lower() in row.domains.lower().split():
            return row
    if kind not in _NAMES:
        return None
    return offered.filter(kind=kind).first() or _from_settings(OAuthKind(kind), using)


def provider_of_account(account: Account) -> OAuthProvider | None:
    """Return the provider that users can connect a stored account to; None if there is none.

    The account's server is always one of the provider's, since it gets the tokens.
    """
    connection = connection_of(account)
    if connection is not None:
        found = user_provider(connection.provider_id)
        return found if found is not None and found.has_server(account.host) else None
    domain = account.from_address.rpartition("@")[2]
    kinds = [known.oauth for known in PROVIDERS if known.oauth and known.host == account.host]
    found = provider_for(kinds[0] if kinds else "", domain)
    return found if found is not None and found.has_server(account.host) else None


def provider_to_fetch(account: Account) -> OAuthProvider | None:
    """Return the provider that the user has to allow the fetching at; None if it is not needed."""
    connection = connection_of(account)
    if connection is None or not lacks_fetching(connection):
        return None
    return provider_of_account(account)


def user_provider(pk: int) -> OAuthProvider | None:
    """Return a provider that users may connect accounts to."""
    rows = OAuthProvider.objects.using(get_conf().database)
    return rows.filter(pk=pk, is_active=True, access=OAuthAccess.USER).first()


def connection_of(account: Account) -> OAuthToken | None:
    """Return the row of a connected account; None if it logs in otherwise."""
    return tokens_of(account, get_conf().database)


def app_provider_of(account: Account | None) -> OAuthProvider | None:
    """Return the provider of an account's app-only access; None if it has none."""
    connection = connection_of(account) if account is not None else None
    if connection is None or connection.provider.access != OAuthAccess.APP:
        return None
    return connection.provider


@sensitive_variables()
def exchange(
    provider: OAuthProvider, *, code: str, verifier: str, redirect_uri: str, fetches: bool = False
) -> oauth.TokenSet:
    """Exchange an authorization code. Raise TokenFault, also if the scope is too narrow."""
    endpoints = provider.endpoints_for(fetches=fetches)
    rejected = oauth.Effect.REJECTED
    try:
        client = dataclasses.replace(client_of(provider), seconds=_SECONDS)
    except SecretUnreadableError:
        reason = Reason(ReasonCode.TOKEN_CLIENT_REJECTED, service=endpoints.service)
        raise oauth.TokenFault(rejected, reason) from None
    found = oauth.exchange_code(
        endpoints, client, code=code, verifier=verifier, redirect_uri=redirect_uri
    )
    if not found.refresh_token:
        reason = Reason(ReasonCode.TOKEN_REFRESH_MISSING, service=endpoints.service)
        raise oauth.TokenFault(rejected, reason)
    if not found.has_scopes_of(endpoints):
        reason = Reason(ReasonCode.TOKEN_SCOPE_MISSING, service=endpoints.service)
        raise oauth.TokenFault(rejected, reason)
    return found


@sensitive_variables()
def connect(
    account: Account, provider: OAuthProvider, found: oauth.TokenSet, *, fetches: bool = False
) -> None:
    """Save an account with its tokens, and deliver and fetch what waits for it."""
    using = get_conf().database
    now = database_now(using)
    lifetime = {"expires_at": end_of(found, now), "refreshed_at": now}
    with transaction.atomic(using=using):
        row = _row_of(account, provider)
        columns = row.encrypted(access=found.access_token, refresh=found.refresh_token)
        _change(row, {**columns, **lifetime, "fetches": fetches})
    _resume(account)


def connect_app(
    account: Account, provider: OAuthProvider, *, retried: Callable[[], None] | None = None
) -> None:
    """Connect an account to a provider of app-only access, which needs no consent of a user.

    `retried` is called after the commit, if a circuit of the account was open.
    """
    with transaction.atomic(using=get_conf().database):
        row = _row_of(account, provider)
        _change(row, {"refresh_encrypted": "", "access_encrypted": "", "expires_at": None})
    _resume(account, retried)


def retry_rejected(provider: OAuthProvider) -> int:
    """Release the accounts that a fault of the provider's client holds; return how many.

    The client was corrected, and its secret counts for all of them.
    """
    return sum(map(_release, _rejected_by_client(get_conf().database, provider=provider)))


def retry_corrected(using: str) -> int:
    """Release the accounts whose client was corrected outside of the admin, as in the settings.

    Return how many. Processes that still have the former settings may reject them again, so it is
    done once a minute at most.
    """
    now = time.monotonic()
    if now < _corrected_next.get(using, now):
        return 0
    _corrected_next[using] = now + _CORRECTED_PAUSE
    try:
        rows = _rejected_by_client(using)
        # Those of one provider have one client, whose secret is decrypted once.
        present = {row.provider: row.provider.client_fingerprint for row in rows}
        return sum(_release(row) for row in rows if row.rejected_client != present[row.provider])
    except DATABASE_UNAVAILABLE as error:
        logger.warning("Rejected accounts were not checked: %s", error)
        return 0


def _rejected_by_client(using: str, **of: OAuthProvider) -> list[OAuthToken]:
    """Return the rows that a fault of their provider's client holds."""
    rows = OAuthToken.objects.using(using).filter(is_rejected=True, **of)
    found = rows.select_related("account", "provider").order_by("pk")
    return [row for row in found if row.reason.code in _FAULTS_OF_CLIENT]


def _release(row: OAuthToken) -> bool:
    same = OAuthToken.objects.using(get_conf().database).filter(
        pk=row.pk, generation=row.generation, is_rejected=True
    )
    if not same.update(
        is_rejected=False, reason=NO_REASON, faults=0, retry_at=None, notified_at=None
    ):
        return False
    _resume(row.account)
    return True


def disconnect(account: Account) -> None:
    """Delete the tokens of an account. It then logs in with a password."""
    using = get_conf().database
    with transaction.atomic(using=using):
        account.secret_is_token = False  # locked before the tokens, as when it is connected
        account.save(using=using, update_fields=["secret_is_token"])
        OAuthToken.objects.using(using).filter(pk=account.pk).delete()


def _row_of(account: Account, provider: OAuthProvider) -> OAuthToken:
    """Save the account, and return the row of its tokens, created if it has none."""
    using = get_conf().database
    account.secret_is_token = True
    account.secret = ""
    account.tested_at = None  # a former test says nothing about this login
    # What others changed in a stored account in the meantime is not overwritten.
    columns = ["secret_is_token", "secret_encrypted", "tested_at"]
    changed = None if account._state.adding else columns
    account.save(using=using, update_fields=changed)
    rows = OAuthToken.objects.using(using)
    rows.get_or_create(account=account, defaults={"provider": provider})
    return OAuthToken(account=account, provider=provider)


def _change(row: OAuthToken, columns: Mapping[str, object]) -> None:
    """Replace the tokens. A renewal that is under way does not overwrite them."""
    rows = OAuthToken.objects.using(get_conf().database).filter(pk=row.account_id)
    rows.update(
        provider=row.provider,
        forced_generation=None,
        **WITH_NEW_TOKENS,
        **columns,
    )


def _resume(account: Account, retried: Callable[[], None] | None = None) -> None:
    """Deliver and fetch what waits for the login of an account.

    The circuits are closed after the caller's transaction. A worker may have locked them, and the
    caller would wait for it with the account locked.
    """
    fetch_with_new_login(account)
    retry_after_commit(account, retried)


def _from_settings(kind: OAuthKind, using: str) -> OAuthProvider | None:
    """Return the provider that the settings describe. Its row has no secret: they have it."""
    conf = get_conf()
    is_google = kind == OAuthKind.GOOGLE
    client_id = conf.google_client_id if is_google else conf.microsoft_client_id
    secret = conf.google_client_secret if is_google else conf.microsoft_client_secret
    rows = OAuthProvider.objects.using(using)
    if not (client_id and secret) or rows.filter(kind=kind, access=OAuthAccess.USER).exists():
        return None  # staff have turned off the one that there is
    return rows.create(
        kind=kind,
        name=_NAMES[kind],
        client_id=client_id,
        tenant="" if is_google else conf.microsoft_tenant,
    )
