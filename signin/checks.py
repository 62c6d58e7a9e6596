"""System check of the sign-in: the site distinguishes clients that use a proxy."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from outbox.conf import get_conf


@checks.register(checks.Tags.security)
def check_proxies(
    app_configs: Sequence[AppConfig] | None, **_: Any
) -> Iterator[checks.CheckMessage]:
    """Warn if a proxy is in front of the site and all clients count as one network."""
    if settings.SECURE_PROXY_SSL_HEADER and not get_conf().trusted_proxies:
        yield checks.Warning(
            "A proxy is in front of the site, but its address is not known. All clients count as "
            "one network, so one of them can delay the sign-in of all users.",
            hint='Set OUTBOX["TRUSTED_PROXIES"] to the networks of the proxy, or to "unix".',
            id="signin.W001",
        )
