"""OAuth 2: authorization URLs, token requests, and what the responses of token endpoints mean."""

from outbox.oauth.assertions import Signer
from outbox.oauth.authorization import (
    authorization_url,
    code_challenge,
    new_state,
    new_verifier,
)
from outbox.oauth.client import Client
from outbox.oauth.faults import Effect, TokenFault
from outbox.oauth.providers import GOOGLE, MICROSOFT, Endpoints, custom, google, microsoft
from outbox.oauth.requests import TokenSet, exchange_code, refresh, request_app_token

__all__ = [
    "GOOGLE",
    "MICROSOFT",
    "Client",
    "Effect",
    "Endpoints",
    "Signer",
    "TokenFault",
    "TokenSet",
    "authorization_url",
    "code_challenge",
    "custom",
    "exchange_code",
    "google",
    "microsoft",
    "new_state",
    "new_verifier",
    "refresh",
    "request_app_token",
]
