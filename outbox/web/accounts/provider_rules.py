"""Which URLs a custom OAuth 2 provider may have. The same addresses are rejected as for servers."""

from urllib.parse import urlsplit

from outbox.conf import get_conf
from outbox.delivery.server import address_rule
from outbox.oauth import Client
from outbox.smtp.tls import tls_context

_SECONDS = 10.0


def discovery_client() -> Client:
    """Return how the endpoints of an issuer are looked up."""
    conf = get_conf()
    return Client(
        client_id="",
        is_allowed=address_rule(conf, trusted=False),
        context=tls_context(conf.ca_file or None),
        allow_http=conf.allow_private_hosts,
        seconds=_SECONDS,
    )


def is_url_allowed(url: str) -> bool:
    """Return whether tokens may be requested from a URL: over HTTPS only, except on this host."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and get_conf().allow_private_hosts)
