"""The bell: tell a worker that something is due. It carries no mail and promises nothing.

It rings after the commit and at most once for what commits together; while a rung bell has not
been heard, ringing again publishes nothing. A broker that does not answer costs a fraction of a
second once, and is then left alone for a while: the sweep finds what no bell told.
"""

import logging
import threading
import time
from functools import lru_cache

import redis
from celery import current_app
from django.conf import settings
from django.db import connections, transaction

from outbox.conf import get_conf

logger = logging.getLogger(__name__)
_MARK = "outbox:bell"  # set while a rung bell waits to be heard
_MARK_FOR_MS = 5_000  # a bell that nobody heard for so long may be rung again
_PATIENCE = 0.4  # seconds for the broker to answer
_LEFT_ALONE_FOR = 5.0  # seconds without a try after it did not

_state = threading.local()


def ring(using: str | None = None) -> None:
    """Ring once the present transaction commits; at once when there is none."""
    alias = using or get_conf().database
    connection = connections[alias]
    if connection.in_atomic_block and connection.run_on_commit:
        savepoints, last = connection.run_on_commit[-1][:2]
        if last is _publish and savepoints <= set(connection.savepoint_ids):
            return
    transaction.on_commit(_publish, using=alias, robust=True)


def ring_now() -> None:
    """Ring at once: a worker asks another one for help."""
    _publish()


def heard() -> None:
    """A worker woke: a bell rung from now on is news."""
    client = _redis()
    if client is not None:
        try:
            client.delete(_MARK)
        except redis.RedisError as error:
            logger.debug("The bell's mark could not be taken away: %s", error)


def forget() -> None:
    """Forget that the broker did not answer: the next ring tries it again."""
    _state.left_alone_until = 0.0


def broker_seen() -> bool:
    """Tell whether the broker answers right now."""
    client = _redis()
    try:
        if client is not None:
            return bool(client.ping())
        if not current_app.conf.broker_url:
            return False
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
    except Exception:  # noqa: BLE001  # each transport raises its own
        return False
    return True


def _publish() -> None:
    if not current_app.conf.broker_url:
        return  # Celery is not set up here; asking its default broker would take seconds
    if time.monotonic() < getattr(_state, "left_alone_until", 0.0):
        return
    try:
        client = _redis()
        if client is not None and not client.set(_MARK, "1", nx=True, px=_MARK_FOR_MS):
            return
        current_app.send_task(
            "outbox.deliver", queue=get_conf().celery_queue or None, ignore_result=True, retry=False
        )
    except Exception as error:  # noqa: BLE001  # each transport raises its own; none may reach Send
        _state.left_alone_until = time.monotonic() + _LEFT_ALONE_FOR
        logger.warning("The broker does not answer; the sweep will find the mail: %s", error)


def _redis() -> "redis.Redis | None":
    url = get_conf().redis_url or getattr(settings, "CELERY_BROKER_URL", "") or ""
    url = url.replace("redis+socket://", "unix://")
    return _client(url) if url.startswith(("redis://", "rediss://", "unix://")) else None


@lru_cache(maxsize=4)
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_PATIENCE,
        socket_timeout=_PATIENCE,
        retry=None,
    )
