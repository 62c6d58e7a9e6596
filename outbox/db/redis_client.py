"""A client of the Redis that a URL and the transport options of Celery describe.

Celery's own connection is for its tasks: it waits longer, and repeats what failed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:  # a process that only delivers needs none
    import redis

logger = logging.getLogger(__name__)
_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "redis+socket": "unix"}
_SENTINEL = "sentinel"
_SENTINEL_PORT = 26379
# Celery passes the others on to its transport, or ignores them.
_KNOWN_PARAMETERS = {
    "db", "username", "password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile",
    "ssl_keyfile", "ssl_check_hostname",
}  # fmt: skip
_TIMEOUT = 0.4  # seconds
_LIMITS = {"socket_connect_timeout": _TIMEOUT, "socket_timeout": _TIMEOUT}
_KEPT = 4  # clients; a process has one, a test run has more
_clients: dict[str, redis.Redis | None] = {}


def client_of(
    url: str, options: Mapping[str, Any] | None = None, ssl: Any = None
) -> redis.Redis | None:
    """Return a client that connects later, or None for another broker or several ones.

    `options` and `ssl` are Celery's `broker_transport_options` and `broker_use_ssl`. They have the
    name of the master if the URL names sentinels.
    """
    key = repr((url, options, ssl))
    if key not in _clients:
        if len(_clients) >= _KEPT:
            _clients.clear()
        try:
            _clients[key] = _create(url, options or {}, ssl if isinstance(ssl, dict) else {})
        except Exception as error:  # noqa: BLE001  # of redis-py or ssl, by parameter
            logger.warning("Wake-ups are sent without a mark in Redis: %s", error)
            _clients[key] = None
    return _clients[key]


def _create(url: str, options: Mapping[str, Any], ssl: Mapping[str, Any]) -> redis.Redis | None:
    scheme, _, rest = url.partition("://")
    if scheme == _SENTINEL:
        return _master(url.split(";"), options, ssl)
    if scheme not in _SCHEMES or ";" in rest:
        return None
    import redis

    scheme = "rediss" if ssl and scheme == "redis" else _SCHEMES[scheme]
    client = redis.Redis.from_url(
        f"{scheme}://{rest.partition('?')[0]}",
        **_LIMITS,
        retry=None,
        **_parameters({**ssl, **dict(parse_qsl(rest.partition("?")[2]))}),
    )
    client.connection_pool.make_connection()  # it reads the parameters, and connects later
    return client


def _master(urls: list[str], options: Mapping[str, Any], ssl: Mapping[str, Any]) -> redis.Redis:
    """Return a client of the master of which the sentinels know."""
    if not (name := options.get("master_name")):
        raise ValueError("broker_transport_options has no master_name.")
    from redis.sentinel import Sentinel

    # As in Celery, a part without a scheme is not a sentinel, and the first URL has the rest.
    parts = [urlsplit(url) for url in urls if url.startswith(f"{_SENTINEL}://")]
    first = parts[0]
    parameters = _parameters({**ssl, "db": first.path.strip("/") or "0"})
    for key, value in (("username", first.username), ("password", first.password)):
        if value:
            parameters[key] = unquote(value)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        [(part.hostname or "127.0.0.1", part.port or _SENTINEL_PORT) for part in parts],
        min_other_sentinels=options.get("min_other_sentinels", 0),
        # Without `retry`, redis-py asks a sentinel that is down again and again.
        sentinel_kwargs={**_LIMITS, "retry": None, **(options.get("sentinel_kwargs") or {})},
        **_LIMITS,
        retry=None,
        ssl=bool(ssl),
        **parameters,
    )
    client: redis.Redis = sentinels.master_for(name)  # type: ignore[no-untyped-call]
    return client


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a Redis URL of Celery, in the names and values of redis-py."""
    if (virtual_host := given.pop("virtual_host", None)) is not None:
        given["db"] = virtual_host.lstrip("/")
    if "db" in given:
        given["db"] = int(given["db"] or 0)
    if isinstance(required := given.get("ssl_cert_reqs"), str):
        given["ssl_cert_reqs"] = required.lower().removeprefix("cert_")
    return {name: value for name, value in given.items() if name in _KNOWN_PARAMETERS}
