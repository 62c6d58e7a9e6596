"""The request for a user's consent: the authorization URL with state and PKCE (RFC 7636)."""

import base64
import hashlib
import secrets
from urllib.parse import urlencode

from outbox.oauth.providers import Endpoints

_BYTES = 48  # 64 characters of Base64; RFC 7636 4.1 allows 43 to 128


def new_state() -> str:
    """Return a value that binds a response to the browser's session (RFC 6749 10.12)."""
    return secrets.token_urlsafe(_BYTES)


def new_verifier() -> str:
    """Return a secret that only the sender of the authorization request knows."""
    return secrets.token_urlsafe(_BYTES)


def code_challenge(verifier: str) -> str:
    """Return the challenge of a verifier, by the method S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def authorization_url(
    endpoints: Endpoints,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    verifier: str,
    login_hint: str,
) -> str:
    """Return the URL on which the user consents."""
    query = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": redirect_uri,
        "scope": " ".join(endpoints.scopes),
        "state": state,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
        "login_hint": login_hint,
        **endpoints.parameters,
    }
    base = endpoints.authorization_url
    return f"{base}{'&' if '?' in base else '?'}{urlencode(query)}"
