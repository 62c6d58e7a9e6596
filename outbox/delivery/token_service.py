"""Requests for tokens: to the service of an account's provider, or to a callable of the site.

`outbox.delivery.tokens` decides when they are made.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from outbox import oauth
from outbox.conf import get_conf
from outbox.delivery.server import address_rule
from outbox.models import Account
from outbox.models.oauth import OAuthAccess, OAuthProvider, OAuthToken
from outbox.models.secrets import SecretUnreadableError
from outbox.oauth.assertions import KeyInvalidError
from outbox.reasons import Reason, ReasonCode
from outbox.smtp.tls import tls_context

logger = logging.getLogger(__name__)


def client_of(provider: OAuthProvider) -> oauth.Client:
    """Return how requests to the token service are sent. Raise SecretUnreadableError."""
    conf = get_conf()
    return oauth.Client(
        client_id=provider.client_id,
        secret=provider.secret,
        is_allowed=address_rule(conf, trusted=False),
        context=tls_context(conf.ca_file or None),
        allow_http=conf.allow_private_hosts,
    )


@sensitive_variables()
def request_tokens(row: OAuthToken, now: float) -> oauth.TokenSet:
    """Request new tokens for a row at this time, in seconds. Raise TokenFault."""
    provider = row.provider
    rejected = oauth.Effect.REJECTED
    try:
        _check_server(row)
        client = client_of(provider)
        if provider.access == OAuthAccess.APP:
            signer = oauth.Signer.load(provider.key) if provider.key_encrypted else None
            return oauth.request_app_token(
                provider.endpoints, client, signer=signer, subject=row.account.username, now=now
            )
    except (SecretUnreadableError, KeyInvalidError):
        reason = Reason(ReasonCode.TOKEN_CLIENT_REJECTED, service=provider.endpoints.service)
        raise oauth.TokenFault(rejected, reason) from None
    try:
        refresh_token = row.refresh_token
    except SecretUnreadableError:
        refresh_token = ""
    if not refresh_token:
        raise oauth.TokenFault(rejected, Reason(ReasonCode.TOKEN_NOT_CONNECTED))
    endpoints = provider.endpoints_for(fetches=row.fetches)
    return oauth.refresh(endpoints, client, refresh_token)


def _check_server(row: OAuthToken) -> None:
    """Raise TokenFault if an app-only token would be sent to a server of another provider."""
    provider, host = row.provider, row.account.host
    if provider.access == OAuthAccess.APP and not provider.has_server(host):
        service = provider.endpoints.service
        reason = Reason(ReasonCode.TOKEN_SERVER_FOREIGN, host=host, service=service)
        raise oauth.TokenFault(oauth.Effect.REJECTED, reason)


@sensitive_variables()
def token_of_site(account: Account) -> str | None:
    """Return the token of the site's own provider of tokens; None if it has none.

    Raise TokenFault.
    """
    path = get_conf().token_provider
    if not path:
        return None
    try:
        token = _callable(path)(account)
    except Exception as error:  # noqa: BLE001  # code of the site
        # Its message, and a traceback with the locals of the site's code, may contain a token.
        cause = type(error).__name__
        logger.error("The token provider failed for account %s: %s", account.pk, cause)  # noqa: TRY400
        reason = Reason(ReasonCode.TOKEN_PROVIDER_FAILED, cause=cause)
        raise oauth.TokenFault(oauth.Effect.UNAVAILABLE, reason) from None
    return str(token) if token else None


@lru_cache(maxsize=4)
def _callable(path: str) -> Any:
    return import_string(path)
