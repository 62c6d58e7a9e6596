"""The bell wakes workers once for much mail, after the commit, and never holds up Send."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from celery.app import app_or_default
from django.conf import LazySettings
from django.db import connections, transaction

from dev.processes import wait_until
from dev.redis_server import RedisServer
from outbox import bell
from outbox.models import Message, Recipient, State
from tests.integration.api.conftest import Queue

# What commits is the point.
pytestmark = pytest.mark.django_db(transaction=True)

TASKS = "outbox"  # Celery's list in Redis


def rung(server: RedisServer) -> int:
    """Count the tasks that wait for a worker."""
    with redis.Redis.from_url(server.url) as client:
        count = client.llen(TASKS)
    assert isinstance(count, int)
    return count


def test_much_mail_rings_once(redis_server: RedisServer, queue: Queue) -> None:
    for _ in range(20):
        queue()
    assert rung(redis_server) == 1


def test_it_rings_again_once_it_was_heard(redis_server: RedisServer, queue: Queue) -> None:
    queue()
    bell.heard()
    queue()
    wait_until(lambda: rung(redis_server) == 2, within=5, what="the second ring")


def test_who_rings_again_and_again_is_rung_for_together_and_after_the_last(
    redis_server: RedisServer, queue: Queue
) -> None:
    queue()
    bell.heard()
    began = time.monotonic()
    for _ in range(10):
        queue()
    lasted = time.monotonic() - began
    wait_until(lambda: rung(redis_server) > 1, within=5, what="the second ring")
    assert rung(redis_server) <= 2 + lasted / 0.05


def test_a_process_that_ends_rings_for_its_last_mail(redis_server: RedisServer) -> None:
    rings = "from outbox import bell; bell.ring(); bell.heard(); bell.ring()"
    subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {rings}"],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "mailsite.settings"},
        check=True,
        timeout=30,
    )
    assert rung(redis_server) == 2


def test_it_rings_after_the_commit_and_not_before(redis_server: RedisServer, queue: Queue) -> None:
    """A worker that woke earlier would find nothing, and nobody would ring again."""
    with transaction.atomic():
        queue()
        queue()
        assert rung(redis_server) == 0
    assert rung(redis_server) == 1


def test_what_is_rolled_back_was_never_queued(redis_server: RedisServer, queue: Queue) -> None:
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        queue()
        raise ZeroDivisionError
    assert rung(redis_server) == 0
    assert not Message.objects.exists()
    assert not Recipient.objects.exists()


def test_a_savepoint_rolled_back_swallows_no_later_bell(
    redis_server: RedisServer, queue: Queue
) -> None:
    with transaction.atomic():
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            queue()
            raise ZeroDivisionError
        queue()
    assert Message.objects.count() == 1
    assert rung(redis_server) == 1


def test_a_savepoint_rolled_back_takes_no_earlier_bell_along(
    redis_server: RedisServer, queue: Queue
) -> None:
    with transaction.atomic():
        queue()
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            queue()
            raise ZeroDivisionError
    assert Message.objects.count() == 1
    assert rung(redis_server) == 1


def test_a_savepoint_kept_rings_too(redis_server: RedisServer, queue: Queue) -> None:
    with transaction.atomic(), transaction.atomic():
        queue()
    assert rung(redis_server) == 1


def test_a_redis_that_lost_its_keys_rings_again(redis_server: RedisServer, queue: Queue) -> None:
    """Protocol item 101: the mark that keeps bells apart is no promise."""
    queue()
    redis_server.clear()
    queue()
    wait_until(lambda: rung(redis_server) == 1, within=5, what="the second ring")


def test_a_dead_broker_does_not_hold_up_send(queue: Queue) -> None:
    """No Redis runs in this test. Send works, and the sweep finds the mail."""
    begun = time.monotonic()
    queue()
    assert time.monotonic() - begun < 1
    assert Recipient.objects.get().state == State.QUEUED


def test_a_silent_broker_holds_up_send_once_and_briefly(
    queue: Queue, settings: LazySettings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings.OUTBOX = settings.OUTBOX | {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        begun = time.monotonic()
        queue()
        first = time.monotonic() - begun
        for _ in range(20):
            queue()
        rest = time.monotonic() - begun - first
    assert first < 1
    assert rest < 1  # it is left alone for a while
    assert Recipient.objects.count() == 21


@pytest.fixture
def broker_at(settings: LazySettings) -> Iterator[Callable[[str], None]]:
    """Give this project another broker, in Celery's own settings: no patience is set there."""
    ours = app_or_default()

    def name(url: str) -> None:
        Celery("of a project", broker=url).set_current()
        settings.CELERY_BROKER_URL = url
        settings.OUTBOX = settings.OUTBOX | {"REDIS_URL": ""}

    yield name
    ours.set_current()
    bell.forget()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a server that accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{}/0",
        "sentinel://127.0.0.1:{}",  # no mark there: Celery alone knows how to reach it
        "amqp://127.0.0.1:{}//",
        "amqp://nobody.invalid//",
    ],
)
def test_no_broker_holds_up_send_for_long_nor_twice(
    url: str, black_hole: int, broker_at: Callable[[str], None], queue: Queue
) -> None:
    broker_at(url.format(black_hole))
    begun = time.monotonic()
    queue()
    first = time.monotonic() - begun
    for _ in range(20):
        queue()
    rest = time.monotonic() - begun - first
    assert first < 2
    assert rest < 1
    assert Recipient.objects.count() == 21


def test_the_threads_of_a_process_wait_for_a_silent_broker_only_once(
    black_hole: int, broker_at: Callable[[str], None], queue: Queue
) -> None:
    broker_at(f"amqp://127.0.0.1:{black_hole}//")
    queue()
    begun = time.monotonic()

    def ring() -> None:
        bell.ring()
        connections.close_all()  # this thread's own

    other = threading.Thread(target=ring)
    other.start()
    other.join()
    assert time.monotonic() - begun < 0.5


def test_the_status_does_not_wait_for_a_silent_broker(
    black_hole: int, broker_at: Callable[[str], None]
) -> None:
    broker_at(f"amqp://127.0.0.1:{black_hole}//")
    begun = time.monotonic()
    assert not bell.broker_seen()
    assert time.monotonic() - begun < 2
