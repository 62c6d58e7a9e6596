"""An identity provider for tests: it issues OAuth 2 tokens, and misbehaves on request.

    with IdentityProvider() as provider:
        provider.fail_next(Trouble.RATE_LIMIT)
        provider.revoke("anna@example.com")

It has an authorization page with two buttons, verifies PKCE, rotates refresh tokens and rejects
each that was used before. `TokenMailServer` accepts only tokens that are current.

    python -m outbox.testing.oauth --port 8400 --smtp-port 2587

starts both until a signal ends them, for a site on this host (`OUTBOX_ALLOW_PRIVATE_HOSTS`).
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import ThreadingHTTPServer
from types import FrameType
from typing import Self

from outbox.oauth import code_challenge
from outbox.testing.oauth_pages import Handler

SCOPE = "https://mail.google.com/"


class Trouble(StrEnum):
    """What the next token request meets instead of a token."""

    SLOW = "slow"  # the response comes after `IdentityProvider.delay`
    RATE_LIMIT = "rate_limit"  # 429 with Retry-After
    ERROR = "error"  # 500 with JSON
    HTML = "html"  # 200 with a page in HTML
    CLOSED = "closed"  # no response
    LOST = "lost"  # the tokens are issued, and the response is lost
    TIMEOUT = "timeout"  # 408
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED = "unauthorized"  # 401


@dataclass(slots=True)
class Grant:
    """What a user allowed, with the tokens issued for it."""

    user: str
    scope: str
    refresh_token: str = ""
    former: set[str] = field(default_factory=set)  # refresh tokens that were used
    is_revoked: bool = False


@dataclass(slots=True)
class Code:
    """An authorization code, which works once."""

    user: str
    challenge: str
    redirect_uri: str
    scope: str


@dataclass(slots=True)
class TokenResponse:
    """A response of the token endpoint."""

    status: int
    body: dict[str, object]


class IdentityProvider:
    """The provider. Its attributes may be changed while it runs."""

    def __init__(self, port: int = 0) -> None:
        self.client_id = "client-1"
        self.client_secret = secrets.token_urlsafe(24)
        self.rotates = True  # each refresh replaces the refresh token
        self.sends_refresh_tokens = True  # with the response to a code
        self.lifetime = 3600.0  # seconds of an access token
        self.clock_skew = 0.0  # seconds; its clock is ahead by them
        self.signed_in_as = ""  # if set, the user who consents is not the one of `login_hint`
        self.granted_scope = ""  # if set, this is granted instead of what was asked for
        self.token_bytes = 48  # of an access token; real ones have up to 1,500
        self.delay = 1.0  # seconds of a slow response
        self.retry_after = 120  # seconds
        self.error_description = ""  # of the next rejections
        self.requests: list[str] = []  # the grant types that were requested
        self.at_once = self.at_once_max = 0  # refreshes in progress
        self._port = port
        self._lock = threading.RLock()
        self.counting = threading.Lock()
        self._troubles: deque[Trouble] = deque()
        self._codes: dict[str, Code] = {}
        self._grants: list[Grant] = []
        self._access: dict[str, tuple[Grant, float]] = {}  # by token, with its end
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        bound = type("Bound", (Handler,), {"identity": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), bound)
        self._server.daemon_threads = True
        run = self._server.serve_forever
        threading.Thread(target=run, name="identity-provider", args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The issuer, below which all of its pages are."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # Used by tests

    def fail_next(self, *troubles: Trouble) -> None:
        """Meet the next token requests with these troubles, one each."""
        with self._lock:
            self._troubles.extend(troubles)

    def grant(self, user: str, scope: str = SCOPE) -> str:
        """Return a refresh token for a user, as if there had been a consent."""
        with self._lock:
            grant = Grant(user, scope, refresh_token=secrets.token_urlsafe(24))
            self._grants.append(grant)
            return grant.refresh_token

    def revoke(self, user: str) -> None:
        """Revoke all access to the mailbox of a user."""
        with self._lock:
            for grant in self._grants:
                if grant.user == user:
                    grant.is_revoked = True

    def expire_access_tokens(self) -> None:
        """End every access token at once; the refresh tokens stay valid."""
        with self._lock:
            self._access.clear()

    def current_tokens(self) -> list[str]:
        """Return every token that is valid, to search for them where none may be."""
        with self._lock:
            tokens = list(self._access)
            return tokens + [grant.refresh_token for grant in self._grants]

    def is_current(self, user: str, token: str) -> bool:
        """Return whether an access token opens the mailbox of a user."""
        with self._lock:
            known = self._access.get(token)
            if known is None or known[0].is_revoked or known[0].user != user:
                return False
            return known[1] > self.now() and "mail" in known[0].scope.lower()

    def now(self) -> float:
        """Return the time by the provider's clock."""
        return time.time() + self.clock_skew

    # Used by its pages

    def next_trouble(self) -> Trouble | None:
        """Return the trouble that the present request meets."""
        with self._lock:
            return self._troubles.popleft() if self._troubles else None

    def issue_code(self, fields: dict[str, str]) -> str:
        """Return a code after a consent."""
        with self._lock:
            code = secrets.token_urlsafe(24)
            self._codes[code] = Code(
                user=self.signed_in_as or fields.get("login_hint", ""),
                challenge=fields.get("code_challenge", ""),
                redirect_uri=fields.get("redirect_uri", ""),
                scope=self.granted_scope or fields.get("scope", ""),
            )
            return code

    def respond(self, fields: dict[str, str]) -> TokenResponse:
        """Return the response to a token request."""
        kind = fields.get("grant_type", "")
        with self._lock:
            self.requests.append(kind)
            if not self._is_known(fields):
                return self._rejected("invalid_client", 401)
            if kind == "authorization_code":
                return self._for_code(fields)
            if kind == "refresh_token":
                return self._for_refresh(fields)
            if kind in {"client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"}:
                return self._for_app(fields)
            return self._rejected("unsupported_grant_type")

    def _is_known(self, fields: dict[str, str]) -> bool:
        if "assertion" in fields or "client_assertion" in fields:
            return True
        given = (fields.get("client_id"), fields.get("client_secret"))
        return given == (self.client_id, self.client_secret)

    def _for_code(self, fields: dict[str, str]) -> TokenResponse:
        code = self._codes.pop(fields.get("code", ""), None)
        if code is None or code.redirect_uri != fields.get("redirect_uri"):
            return self._rejected("invalid_grant")
        if code.challenge != code_challenge(fields.get("code_verifier", "")):
            return self._rejected("invalid_grant")
        grant = Grant(code.user, code.scope, refresh_token=secrets.token_urlsafe(24))
        self._grants.append(grant)
        return self._issued(grant, with_refresh=self.sends_refresh_tokens)

    def _for_refresh(self, fields: dict[str, str]) -> TokenResponse:
        given = fields.get("refresh_token", "")
        for grant in self._grants:
            if given in grant.former:
                grant.is_revoked = True  # used twice: it may have been stolen (RFC 9700 4.14)
        grants = [one for one in self._grants if one.refresh_token == given and not one.is_revoked]
        if not given or not grants:
            return self._rejected("invalid_grant")
        grant = grants[0]
        if self.rotates:
            grant.former.add(grant.refresh_token)
            grant.refresh_token = secrets.token_urlsafe(24)
        return self._issued(grant, with_refresh=self.rotates)

    def _for_app(self, fields: dict[str, str]) -> TokenResponse:
        grant = Grant("*", fields.get("scope", SCOPE))
        self._grants.append(grant)
        return self._issued(grant, with_refresh=False)

    def _issued(self, grant: Grant, *, with_refresh: bool) -> TokenResponse:
        token = secrets.token_urlsafe(self.token_bytes)
        self._access[token] = (grant, self.now() + self.lifetime)
        body: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime),
            "scope": grant.scope,
        }
        if with_refresh:
            body["refresh_token"] = grant.refresh_token
        if "openid" in grant.scope.split():
            body["id_token"] = _id_token(grant.user)
        return TokenResponse(200, body)

    def _rejected(self, error: str, status: int = 400) -> TokenResponse:
        return TokenResponse(status, {"error": error, "error_description": self.error_description})


def _id_token(user: str) -> str:
    """Return an ID token without a signature."""
    body = json.dumps({"email": user}).encode()
    return f"e30.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}."


def main(arguments: list[str]) -> None:
    """Run a provider and a mail server until a signal ends them."""
    from outbox.testing.oauth_smtp import TokenMailServer

    parser = argparse.ArgumentParser(prog="python -m outbox.testing.oauth", description=__doc__)
    parser.add_argument("--port", type=int, default=8400)
    parser.add_argument("--smtp-port", type=int, default=2587)
    parser.add_argument("--style", choices=["google", "microsoft"], default="google")
    options = parser.parse_args(arguments)
    over = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        over.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, end)
    with (
        IdentityProvider(options.port) as provider,
        TokenMailServer(provider, options.style, port=options.smtp_port) as server,
    ):
        print(f"issuer {provider.url}", f"smtp 127.0.0.1:{server.port}", flush=True)
        print(f"client {provider.client_id} {provider.client_secret}", flush=True)
        over.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
