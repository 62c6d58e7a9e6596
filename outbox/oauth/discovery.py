"""OpenID discovery: the endpoints that a provider publishes under its issuer's URL."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urlsplit

from outbox.net import request
from outbox.oauth.client import Client

_PATH = "/.well-known/openid-configuration"
_BODY_MAX = 200_000


class DiscoveryError(Exception):
    """The provider publishes no usable endpoints."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """What an issuer publishes."""

    authorization_url: str
    token_url: str


def discover(issuer: str, client: Client) -> Discovered:
    """Return the endpoints of an issuer. Raise DiscoveryError."""
    url = issuer.rstrip("/")
    if not url.endswith(_PATH):
        url += _PATH
    if not _is_usable(url, client):
        raise DiscoveryError("not https")
    try:
        response = request(
            "GET",
            url,
            seconds=client.seconds,
            is_allowed=client.is_allowed,
            resolve=client.resolve,
            headers={"Accept": "application/json"},
            body_max=_BODY_MAX,
            context=client.context,
        )
        found = json.loads(response.body) if response.status == HTTPStatus.OK else {}
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise DiscoveryError(str(error)) from error
    urls = [
        str(found.get(name, "")) if isinstance(found, dict) else ""
        for name in ("authorization_endpoint", "token_endpoint")
    ]
    if not all(_is_usable(each, client) for each in urls):
        raise DiscoveryError("no endpoints in it")
    return Discovered(*urls)


def _is_usable(url: str, client: Client) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (client.allow_http and parts.scheme == "http")
    )
