"""Wake a worker after a commit, by a Celery task that says only that there is work.

A wake-up contains no message and promises nothing: the sweep finds whatever no wake-up reported.
One thread of each process publishes wake-ups, so that no caller waits for the broker. It combines
the requests that arrive while it publishes or pauses. A mark in Redis suppresses further wake-ups
of all processes until a worker acknowledges one.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from django.db import transaction

from outbox.conf import get_conf
from outbox.db.redis_client import client_of

if TYPE_CHECKING:  # a process that only delivers needs neither
    import redis
    from celery import Celery

logger = logging.getLogger(__name__)
_MARK = "outbox:wakeup"  # set while a wake-up waits to be acknowledged
_SWEPT = "outbox:swept"  # set while a sweep was requested lately
_MARK_FOR_MS = 5_000  # after this time without an acknowledgement, another wake-up is sent
_FLUSH_TIMEOUT = 1.0  # seconds, at the end of a process
_PAUSE = 0.05  # seconds between two wake-ups of one process
_PAUSE_AFTER_FAILURE = 5.0  # seconds
_REACHABLE_WITHIN = 1.0  # seconds


class _Publisher:
    """Publishes wake-ups from a thread of its own, which the first request starts."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests = 0
        self._published = 0  # requests that need nothing more
        self._is_closing = False
        self._app: Celery
        self._thread: threading.Thread | None = None

    def request(self, app: Celery) -> None:
        """Publish a wake-up soon. Return at once."""
        with self._changed:
            self._app = app
            self._requests += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="outbox-wakeup", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests > self._published)
                requests, app = self._requests, self._app
            succeeded = _publish(app)
            with self._changed:
                self._published = requests
                self._changed.notify_all()
                pause = _PAUSE if succeeded else _PAUSE_AFTER_FAILURE
                self._changed.wait_for(lambda: self._is_closing, pause)

    def flush(self, timeout: float) -> bool:
        """Wait until every request was published, and return whether it was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._published >= self._requests, timeout)

    def close(self) -> None:
        """Publish what is still requested. The process ends, and the thread with it."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self.flush(_FLUSH_TIMEOUT)


_publisher = _Publisher()
_project_app: Celery | None = None


def notify(using: str | None = None) -> None:
    """Wake a worker once the present transaction commits, or now if there is none."""
    transaction.on_commit(_request, using=using or get_conf().database, robust=True)


def _request() -> None:
    app = celery_app()
    if app.conf.broker_url:  # without one, Celery would wait for its default broker
        _publisher.request(app)  # in the other thread it may be another one


def request_task(name: str, using: str | None = None) -> None:
    """Send a task once the present transaction commits, from a thread. It may be lost."""

    def start() -> None:  # if it fails, Django logs its name, which a partial lacks
        _start_sending(name)

    transaction.on_commit(start, using=using or get_conf().database, robust=True)


def _start_sending(name: str) -> None:
    app = celery_app()
    if app.conf.broker_url:
        threading.Thread(
            target=_send_task, args=[name, app], name="outbox-task", daemon=True
        ).start()


def _send_task(name: str, app: Celery) -> None:
    try:
        _send(app, name)
    except Exception as error:  # noqa: BLE001  # each transport raises its own
        logger.warning(
            "The broker does not respond; %s waits for the periodic run: %s", name, error
        )


def _send(app: Celery, name: str) -> None:
    queue = get_conf().celery_queue or None
    app.send_task(name, queue=queue, ignore_result=True, retry=False)


def remember_app() -> None:
    """Note the Celery app that the project has created. It is current in this thread only."""
    global _project_app  # noqa: PLW0603  # one project per process
    if "celery" in sys.modules:
        from celery.app import app_or_default

        _project_app = app_or_default()


def celery_app() -> Celery:
    """Return the current Celery app, or that of the project in a thread that has none."""
    from celery.app import app_or_default

    app = app_or_default()
    return app if app.conf.broker_url or _project_app is None else _project_app


def acknowledge() -> None:
    """Remove the mark: a worker is awake, and further wake-ups may be sent."""
    client = _redis(celery_app())
    if client is not None:
        from redis import RedisError

        try:
            client.delete(_MARK)
        except RedisError as error:
            logger.debug("The mark of the wake-up could not be removed: %s", error)


def record_sweep(seconds: float) -> None:
    """Record for so many seconds that a sweep was requested, so that other workers need none."""
    client = _redis(celery_app())
    if client is not None:
        from redis import RedisError

        try:
            client.set(_SWEPT, "1", px=int(seconds * 1000))
        except RedisError as error:
            logger.debug("The sweep could not be recorded: %s", error)


def was_sweep_requested() -> bool:
    """Return whether a sweep was requested lately, of any worker, as far as Redis knows."""
    client = _redis(celery_app())
    if client is None:
        return False
    from redis import RedisError

    try:
        return bool(client.exists(_SWEPT))
    except RedisError:
        return False


def flush(timeout: float = _FLUSH_TIMEOUT) -> bool:
    """Wait until every requested wake-up was published, and return whether it was in time."""
    return _publisher.flush(timeout)


def reset() -> None:
    """Start without a thread. A forked process inherits none, but perhaps a lock that is held."""
    global _publisher  # noqa: PLW0603  # one publisher per process
    _publisher = _Publisher()


@atexit.register
def _close() -> None:
    _publisher.close()  # a fork has another one than its parent


os.register_at_fork(after_in_child=reset)


def is_broker_reachable() -> bool:
    """Return whether the broker responds within a second."""
    replies: list[bool] = []
    app = celery_app()
    # No setting limits the time of every step with every transport, such as a lookup in DNS.
    thread = threading.Thread(target=lambda: replies.append(_responds(app)), daemon=True)
    thread.start()
    thread.join(_REACHABLE_WITHIN)
    return replies == [True]


def _responds(app: Celery) -> bool:
    try:
        client = _redis(app)
        if client is not None:
            return bool(client.ping())
        if not app.conf.broker_url:
            return False
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
    except Exception:  # noqa: BLE001  # each transport raises its own
        return False
    return True


def _publish(app: Celery) -> bool:
    """Send a wake-up, unless another one is marked, and return whether the broker responded."""
    try:
        client = _redis(app)
        if client is None or client.set(_MARK, "1", nx=True, px=_MARK_FOR_MS):
            _send(app, "outbox.deliver")
    except Exception as error:  # noqa: BLE001  # each transport raises its own
        logger.warning("The broker does not respond; the sweep will find the messages: %s", error)
        return False
    return True


def _redis(app: Celery) -> redis.Redis | None:
    """Return a client of the Redis that holds the mark, or None if there is none.

    Without a mark, each process sends its own wake-ups, which costs some more tasks. That is so for
    several brokers, and for other kinds of brokers.
    """
    broker: object = app.conf.broker_url
    url = get_conf().redis_url or broker
    if not isinstance(url, str):
        return None
    # The options name the master of sentinels, also for a Redis that is not the broker.
    ssl = app.conf.broker_use_ssl if url == broker else None
    return client_of(url, app.conf.broker_transport_options, ssl)
