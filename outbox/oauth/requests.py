"""The three token requests: a code is exchanged, a token is refreshed, an app asks for its own.

Each is one POST of a form through the guarded HTTP client, so that the same addresses are rejected
as for webhooks, and one deadline covers everything. Redirects are not followed.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from outbox.net import Response, request
from outbox.net.http import cause_of_failure
from outbox.oauth.assertions import Signer
from outbox.oauth.client import Client
from outbox.oauth.faults import Effect, TokenFault, fault_of, unreachable
from outbox.oauth.identity import login_of
from outbox.oauth.providers import Endpoints
from outbox.reasons import Reason, ReasonCode

_BODY_MAX = 64_000  # bytes; a token has about 2,000
_LIFETIME = 3600.0  # seconds, where the response names none (RFC 6749 5.1 recommends to name it)
_LIFETIME_MIN, _LIFETIME_MAX = 1.0, 30 * 86_400.0
_WAIT_MAX = 6 * 3600.0  # seconds of a Retry-After
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN = re.compile(r"[\x21-\x7e]{1,16000}")  # what a header field or an SMTP line can contain


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """Tokens that a provider issued. They are not in the representation."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)  # empty: the former one stays valid
    lifetime: float = _LIFETIME  # seconds; the provider's clock does not matter
    scopes: frozenset[str] | None = None  # None: those that were requested
    login: str = ""  # the address that the user signed in with, if the response says it

    def has_scopes_of(self, endpoints: Endpoints) -> bool:
        """Return whether the user allowed what was asked for, as far as the response says."""
        if self.scopes is None:
            return True
        wanted = {scope.lower() for scope in endpoints.scopes if ":" in scope}
        return wanted <= {scope.lower() for scope in self.scopes}


def exchange_code(
    endpoints: Endpoints, client: Client, *, code: str, verifier: str, redirect_uri: str
) -> TokenSet:
    """Return the tokens for an authorization code. Raise TokenFault."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
    }
    return _post(endpoints, client, fields | _client_fields(client))


def refresh(endpoints: Endpoints, client: Client, refresh_token: str) -> TokenSet:
    """Return a new access token. Raise TokenFault.

    If the response contains a refresh token, the provider rejects the one that was sent.
    """
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": " ".join(endpoints.scopes),
    }
    return _post(endpoints, client, fields | _client_fields(client))


def request_app_token(
    endpoints: Endpoints, client: Client, *, signer: Signer | None, subject: str, now: float
) -> TokenSet:
    """Return a token of the app itself, without a user's consent. Raise TokenFault.

    With a Google service account, `subject` is the mailbox that the app uses. With Microsoft,
    the client authenticates by its secret or by a certificate.
    """
    if signer is not None and signer.is_service_account:
        claims = {"scope": " ".join(endpoints.app_scopes), "sub": subject}
        fields = {
            "grant_type": _JWT_GRANT,
            "assertion": signer.sign(signer.issuer, endpoints.token_url, now, claims),
        }
        return _post(endpoints, client, fields)
    fields = {"grant_type": "client_credentials", "scope": " ".join(endpoints.app_scopes)}
    if signer is None:
        return _post(endpoints, client, fields | _client_fields(client))
    assertion = signer.sign(client.client_id, endpoints.token_url, now, {"sub": client.client_id})
    fields |= {
        "client_id": client.client_id,
        "client_assertion_type": _ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return _post(endpoints, client, fields)


def _client_fields(client: Client) -> dict[str, str]:
    fields = {"client_id": client.client_id}
    return fields | {"client_secret": client.secret} if client.secret else fields


def _post(endpoints: Endpoints, client: Client, fields: Mapping[str, str]) -> TokenSet:
    service = endpoints.service
    is_https = urlsplit(endpoints.token_url).scheme == "https"
    if not is_https and not client.allow_http:
        raise unreachable(service, "not https")
    try:
        response = request(
            "POST",
            endpoints.token_url,
            seconds=client.seconds,
            is_allowed=client.is_allowed,
            resolve=client.resolve,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            body=urlencode(fields).encode(),
            body_max=_BODY_MAX,
            context=client.context,
        )
    except (OSError, HTTPException, ValueError) as error:
        # Its cause is not chained: a traceback must not show the form.
        raise unreachable(service, cause_of_failure(error)) from None
    return _tokens(service, response)


def _tokens(service: str, response: Response) -> TokenSet:
    content = _parsed(response)
    if response.status != HTTPStatus.OK:
        raise fault_of(service, response.status, content, wait=_wait(response))
    access = (content or {}).get("access_token")
    if content is None or not isinstance(access, str) or not _TOKEN.fullmatch(access):
        reason = Reason(ReasonCode.TOKEN_RESPONSE_INVALID, service=service, status=response.status)
        raise TokenFault(Effect.UNAVAILABLE, reason)
    renewed = content.get("refresh_token") or ""
    if not isinstance(renewed, str) or (renewed and not _TOKEN.fullmatch(renewed)):
        renewed = ""  # no service would accept it, and the former one may still be valid
    scope = content.get("scope")
    return TokenSet(
        access_token=access,
        refresh_token=renewed,
        lifetime=_lifetime(content.get("expires_in")),
        scopes=frozenset(scope.split()) if isinstance(scope, str) and scope else None,
        login=login_of(content.get("id_token")),
    )


def _parsed(response: Response) -> dict[str, Any] | None:
    """Return the JSON object of a response. An error page of a proxy is none."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _lifetime(given: object) -> float:
    """Return the seconds of `expires_in`, which some providers send as a string."""
    try:
        seconds = float(given) if isinstance(given, int | float | str) else _LIFETIME
    except (ValueError, OverflowError):  # an integer may be too large for a float
        return _LIFETIME
    if not math.isfinite(seconds):
        return _LIFETIME
    return min(max(seconds, _LIFETIME_MIN), _LIFETIME_MAX)


def _wait(response: Response) -> float:
    """Return the seconds of Retry-After. Its other form, a date, needs the provider's clock."""
    given = response.headers.get("retry-after", "").strip()
    return min(float(given), _WAIT_MAX) if given.isascii() and given.isdigit() else 0.0
