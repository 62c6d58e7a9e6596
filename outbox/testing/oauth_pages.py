"""The pages of the identity provider for tests."""

from __future__ import annotations

import json
import time
from html import escape
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from outbox.testing.oauth import IdentityProvider, TokenResponse

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Consent</title>
<h1>{user}</h1><p>The site {client} wants to use the mailbox: {scope}</p>
<form method="post" action="/authorize?{query}">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></form></html>"""


class Handler(BaseHTTPRequestHandler):
    """One request to the provider."""

    identity: IdentityProvider

    def do_GET(self) -> None:
        """Show the page that asks for consent, or the published endpoints."""
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            fields = dict(parse_qsl(parts.query))
            page = _PAGE.format(
                user=escape(self.identity.signed_in_as or fields.get("login_hint", "")),
                client=escape(fields.get("client_id", "")),
                scope=escape(fields.get("scope", "")),
                query=escape(parts.query),
            )
            self._send(200, page.encode(), "text/html")
        elif parts.path == "/.well-known/openid-configuration":
            base = self.identity.url
            self._send_json(
                200,
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                },
            )
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        """Accept a decision, or a token request."""
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", "0"))
        posted = dict(parse_qsl(self.rfile.read(length).decode()))
        if parts.path == "/authorize":
            self._decide(dict(parse_qsl(parts.query)), posted.get("decision", ""))
        elif parts.path == "/token":
            self._count(posted)
        else:
            self._send(404, b"", "text/plain")

    def _decide(self, fields: dict[str, str], decision: str) -> None:
        query = {"state": fields.get("state", "")}
        if decision == "allow":
            query["code"] = self.identity.issue_code(fields)
        else:
            query["error"] = "access_denied"
        self.send_response(302)
        self.send_header("Location", f"{fields.get('redirect_uri', '')}?{urlencode(query)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _count(self, posted: dict[str, str]) -> None:
        """Count how many refreshes are in progress at the same time."""
        identity = self.identity
        if posted.get("grant_type") != "refresh_token":
            self._token(posted)
            return
        with identity.counting:
            identity.at_once += 1
            identity.at_once_max = max(identity.at_once_max, identity.at_once)
        try:
            self._token(posted)
        finally:
            with identity.counting:
                identity.at_once -= 1

    def _token(self, posted: dict[str, str]) -> None:
        identity = self.identity
        trouble = identity.next_trouble()
        match trouble:
            case "rate_limit":
                self._send_json(429, {}, {"Retry-After": str(identity.retry_after)})
            case "timeout":
                self._send_json(408, {})
            case "error":
                self._send_json(500, {"error": "server_error"})
            case "html":
                self._send(200, b"<!doctype html><p>Maintenance</p>", "text/html")
            case "closed":
                self.close_connection = True
            case "lost":
                identity.respond(posted)
                self.close_connection = True
            case "invalid_client":
                self._send_json(400, {"error": "invalid_client"})
            case "unauthorized":
                self._send_json(401, {"error": "unauthorized"})
            case _:
                response: TokenResponse = identity.respond(posted)
                if trouble == "slow":
                    time.sleep(identity.delay)  # the slowness that was asked for
                self._send_json(response.status, response.body)

    def _send_json(
        self, status: int, body: dict[str, object], headers: dict[str, str] | None = None
    ) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Log nothing: the test prints what it needs."""
