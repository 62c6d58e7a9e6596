"""Waking the workers never holds up a person: Redis gone or silent costs half a second at most."""

import socket
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from django.conf import settings
from kombu.exceptions import OperationalError

from mailsite.celery import app


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def celery_with(broker: str) -> Celery:
    other = Celery("other", broker=broker, set_as_current=False)
    other.conf.update(
        broker_transport_options=app.conf.broker_transport_options,
        task_publish_retry=app.conf.task_publish_retry,
    )
    return other


def seconds_to_fail(celery: Celery) -> float:
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        celery.send_task("outbox.deliver")
    return time.monotonic() - begun


def test_a_redis_that_is_down_is_noticed_at_once() -> None:
    assert seconds_to_fail(celery_with("redis://127.0.0.1:1/0")) < 5


def test_a_redis_that_is_silent_is_given_half_a_second(silent_port: int) -> None:
    celery = celery_with(f"redis://127.0.0.1:{silent_port}/0")
    assert 0.4 < seconds_to_fail(celery) < 10


def test_the_site_publishes_nothing_twice_by_itself() -> None:
    assert app.conf.task_publish_retry is False
    assert settings.CELERY_TASK_IGNORE_RESULT
