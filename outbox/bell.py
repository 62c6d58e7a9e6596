"""The bell: tell a worker that something is due. It carries no mail and promises nothing.

It rings after the commit and at most once for what commits together; while a rung bell has not
been heard, ringing again publishes nothing, and a process that rings all the time pauses between.
Whoever rings waits for the broker for a second at most, whatever the transport and its settings
would have made of it; a broker that did not answer is then left alone for a while by the whole
process: the sweep finds what no bell told.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import redis
from celery import Celery, current_app
from celery.app import app_or_default
from django.conf import settings
from django.db import connections, transaction

from outbox.conf import get_conf

logger = logging.getLogger(__name__)
_MARK = "outbox:bell"  # set while a rung bell waits to be heard
_MARK_FOR_MS = 5_000  # a bell that nobody heard for so long may be rung again
_REDIS_PATIENCE = 0.4  # seconds for Redis to answer
_PATIENCE = 1.0  # seconds for the whole of a ring
_LEFT_ALONE_FOR = 5.0  # seconds without a try after a ring that failed
_APART = 0.05  # seconds between two rings of one process


@dataclass(slots=True)
class _Broker:
    """What this process knows of the broker; its threads share it."""

    redis_answers: bool = False  # it did, the last time
    left_alone_until: float = 0.0
    ringer: threading.Thread | None = None  # the last that took too long; it may still wait

    def is_left_alone(self) -> bool:
        """Tell whether a ring would only wait again."""
        if self.ringer is not None and self.ringer.is_alive():
            return True
        return time.monotonic() < self.left_alone_until

    def failed(self, why: object) -> None:
        """Leave it alone for a while."""
        self.redis_answers = False
        self.left_alone_until = time.monotonic() + _LEFT_ALONE_FOR
        logger.warning("The broker does not answer; the sweep will find the mail: %s", why)


_broker = _Broker()


@dataclass(slots=True)
class _Pause:
    """Between two rings: who rings meanwhile is rung for at its end, all of them at once."""

    began_at: float = -_APART
    end: threading.Timer | None = None  # somebody rang meanwhile
    lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, app: Celery) -> bool:
        """Tell whether this ring waits for the end of the pause; otherwise one begins now."""
        with self.lock:
            left = self.began_at + _APART - time.monotonic()
            if left > 0 and self.end is None:
                self.end = threading.Timer(left, self.ring, [app])
                self.end.daemon = True
                self.end.start()
            elif left <= 0 and self.end is None:
                self.began_at = time.monotonic()
                return False
            return True

    def ring(self, app: Celery) -> None:
        """End the pause and begin the next one."""
        with self.lock:
            self.end = None
            self.began_at = time.monotonic()
        _ring_now(app)

    def cut_short(self) -> None:
        """Ring for those who wait: the process ends and takes the timer with it."""
        if self.end is not None:
            self.end.cancel()
            self.ring(*self.end.args)

    def forget(self) -> None:
        """Begin anew; the timer of a process that forked stayed behind, and maybe the lock."""
        if self.end is not None:
            self.end.cancel()
        self.began_at, self.end, self.lock = -_APART, None, threading.Lock()


_pause = _Pause()


def ring(using: str | None = None) -> None:
    """Ring once the present transaction commits; at once when there is none."""
    alias = using or get_conf().database
    connection = connections[alias]
    if connection.in_atomic_block and connection.run_on_commit:
        savepoints, last = connection.run_on_commit[-1][:2]
        if last is _publish and savepoints <= set(connection.savepoint_ids):
            return
    transaction.on_commit(_publish, using=alias, robust=True)


def heard() -> None:
    """A worker woke: a bell rung from now on is news."""
    client = _redis()
    if client is not None:
        try:
            client.delete(_MARK)
        except redis.RedisError as error:
            logger.debug("The bell's mark could not be taken away: %s", error)


def forget() -> None:
    """Forget that it rang, and that the broker did not answer: the next ring is the first one."""
    _broker.redis_answers, _broker.left_alone_until, _broker.ringer = False, 0.0, None
    _pause.forget()


atexit.register(_pause.cut_short)
os.register_at_fork(after_in_child=forget)


def broker_seen() -> bool:
    """Tell whether the broker answers right now, or at least within a second."""
    seen: list[bool] = []
    _in_time(lambda app: seen.append(_answers(app)), app_or_default())
    return seen == [True]


def _answers(app: Celery) -> bool:
    try:
        client = _redis()
        if client is not None:
            return bool(client.ping())
        if not app.conf.broker_url:
            return False
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
    except Exception:  # noqa: BLE001  # each transport raises its own
        return False
    return True


def _publish() -> None:
    if not current_app.conf.broker_url:
        return  # Celery is not set up here; asking its default broker would take seconds
    app = app_or_default()  # in another thread that may be another one
    if not _pause.takes(app):
        _ring_now(app)


def _ring_now(app: Celery) -> None:
    if _broker.is_left_alone():
        return
    if not _broker.redis_answers:
        _ring_in_time(_mark_and_send, app)
    elif _is_news():  # asked on a connection that stands, it spares most rings the thread
        _ring_in_time(_send, app)


def _ring_in_time(do: Callable[[Celery], None], app: Celery) -> None:
    ringer = _in_time(do, app)
    if ringer.is_alive():
        _broker.ringer = ringer
        _broker.failed(f"it took more than {_PATIENCE:g} s")


def _in_time(do: Callable[[Celery], None], app: Celery) -> threading.Thread:
    """Do it in a thread, and wait no longer than for a ring: it may be alive still.

    The look-up of a name, a connection that is not refused, a broker that accepts and is silent:
    no setting bounds all of these for every transport.
    """
    thread = threading.Thread(target=do, args=(app,), name="outbox-bell", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return thread


def _mark_and_send(app: Celery) -> None:
    if _is_news():
        _send(app)


def _is_news() -> bool:
    """Leave the mark; tell whether there was none, so that this ring is the one to be heard."""
    try:
        client = _redis()
        if client is None:
            return True
        is_news = bool(client.set(_MARK, "1", nx=True, px=_MARK_FOR_MS))
    except (redis.RedisError, ValueError) as error:  # the latter: a URL that is none
        _broker.failed(error)
        return False
    _broker.redis_answers = True
    return is_news


def _send(app: Celery) -> None:
    queue = get_conf().celery_queue or None
    try:
        app.send_task("outbox.deliver", queue=queue, ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001  # each transport raises its own; none may reach Send
        _broker.failed(error)


def _redis() -> "redis.Redis | None":
    url = get_conf().redis_url or getattr(settings, "CELERY_BROKER_URL", "") or ""
    url = url.replace("redis+socket://", "unix://")
    return _client(url) if url.startswith(("redis://", "rediss://", "unix://")) else None


@lru_cache(maxsize=4)
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_REDIS_PATIENCE,
        socket_timeout=_REDIS_PATIENCE,
        retry=None,
    )
