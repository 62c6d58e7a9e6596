"""Shared by these tests: a provider of the lab as a row, and accounts that are connected to it."""

from typing import Any

from outbox.models import Account, OAuthKind, OAuthProvider, OAuthToken
from outbox.testing.oauth import SCOPE, IdentityProvider
from outbox.testing.oauth_smtp import TokenMailServer

ANNA = "anna@example.org"
USING = "default"


def provider_row(identity: IdentityProvider, **fields: Any) -> OAuthProvider:
    """Create the row of a provider of the lab."""
    row = OAuthProvider(
        kind=OAuthKind.CUSTOM,
        name="Lab",
        client_id=identity.client_id,
        authorization_url=f"{identity.url}/authorize",
        token_url=f"{identity.url}/token",
        scopes=SCOPE,
        domains="example.org",
        host="127.0.0.1",
        security="none",
        **fields,
    )
    row.secret = identity.client_secret
    row.save()
    return row


def account_of(server: TokenMailServer | None, **fields: Any) -> Account:
    """Create an account that logs in with a token."""
    values = {
        "name": "Anna",
        "from_address": ANNA,
        "host": "127.0.0.1",
        "port": server.port if server else 1,
        "security": "none",
        "username": ANNA,
        "secret_is_token": True,
        "on_uncertain": "hold",
    }
    return Account.objects.create(**values | fields)


def connected(
    identity: IdentityProvider, server: TokenMailServer | None = None, **fields: Any
) -> OAuthToken:
    """Create a connected account without an access token, as one that was unused for long."""
    account = account_of(server, **fields)
    row = OAuthToken(account=account, provider=provider_row(identity))
    columns = row.encrypted(access="", refresh=identity.grant(ANNA))
    row.refresh_encrypted = columns["refresh_encrypted"]
    row.save()
    return row
