"""Connect one real mailbox, renew its token, and log in: what the tests do at their own provider.

    LIVE_OAUTH_KIND=google LIVE_OAUTH_CLIENT_ID=… LIVE_OAUTH_CLIENT_SECRET=… \\
    LIVE_OAUTH_ADDRESS=me@example.com make live-oauth

LIVE_OAUTH_KIND is google or microsoft, LIVE_OAUTH_TENANT that of Microsoft. Register the redirect
URI http://localhost:8765/ for the client. Nothing is stored, and no message is sent. It was written
without access to the real services.
"""

import asyncio
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from outbox import oauth, smtp
from outbox.net.providers import PROVIDERS

_PORT = 8765
_REDIRECT = f"http://localhost:{_PORT}/"


def main() -> None:
    """Run the scenario. End with an error if a step fails."""
    kind, address = _given("KIND"), _given("ADDRESS")
    endpoints = oauth.google() if kind == "google" else oauth.microsoft(_given("TENANT", "common"))
    client = oauth.Client(client_id=_given("CLIENT_ID"), secret=_given("CLIENT_SECRET"))
    state, verifier = oauth.new_state(), oauth.new_verifier()
    url = oauth.authorization_url(
        endpoints,
        client_id=client.client_id,
        redirect_uri=_REDIRECT,
        state=state,
        verifier=verifier,
        login_hint=address,
    )
    print(f"Open this address, and allow the access:\n{url}")
    query = _returned()
    if query.get("state") != state or "code" not in query:
        sys.exit(f"No consent: {query.get('error', 'another state')}")
    found = oauth.exchange_code(
        endpoints, client, code=query["code"], verifier=verifier, redirect_uri=_REDIRECT
    )
    print(f"Tokens: scopes {sorted(found.scopes or ())}, valid for {found.lifetime:.0f} s")
    if not found.refresh_token:
        sys.exit("The provider sent no refresh token.")
    renewed = oauth.refresh(endpoints, client, found.refresh_token)
    print(f"Renewed; the refresh token was {'replaced' if renewed.refresh_token else 'kept'}.")
    asyncio.run(_log_in(kind, address, renewed.access_token))
    asyncio.run(_log_in(kind, address, "not-a-token"))


async def _log_in(kind: str, address: str, token: str) -> None:
    known = next(one for one in reversed(PROVIDERS) if one.oauth == kind)
    server = smtp.Server(
        host=known.host,
        port=known.port,
        security=smtp.Security(known.security),
        username=address,
        secret=token,
        secret_is_token=True,
    )
    try:
        session = await smtp.Connection.open(server, within=30)
    except smtp.SmtpFault as fault:
        print(f"Rejected: {fault.reason} {fault.reply or ''}")
        return
    print(f"Logged in to {known.host} by {session.facts.auth_mechanism}.")
    await session.quit()


def _returned() -> dict[str, str]:
    """Wait for the browser, and return the query that it came back with."""
    found: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            found.update({name: values[0] for name, values in query.items()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"Close this page.")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            """Log nothing: the address contains the code."""

    with HTTPServer(("127.0.0.1", _PORT), Handler) as server:
        while "state" not in found:
            server.handle_request()
    return found


def _given(name: str, default: str = "") -> str:
    value = os.environ.get(f"LIVE_OAUTH_{name}", default)
    if not value:
        sys.exit(f"Set LIVE_OAUTH_{name}.")
    return value


if __name__ == "__main__":
    main()
