"""The database is the queue: messages sent while Redis is unavailable are delivered."""

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import User
from django.test import Client

from dev.celery_worker import CeleryWorker
from dev.processes import Process
from dev.redis_server import RedisServer
from outbox import wakeup
from outbox.db.clock import database_now
from outbox.models import Account, Message, Recipient, State
from outbox.testing.mailserver import MailServer
from tests.acceptance.conftest import until
from tests.conftest import StartWorker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def make_unavailable(redis_server: RedisServer, failure: str) -> None:
    if failure == "killed":
        redis_server.kill()
    else:
        redis_server.freeze()


def recover(redis_server: RedisServer, failure: str) -> None:
    if failure == "killed":
        redis_server.start()
    else:
        redis_server.resume()


@pytest.mark.parametrize("failure", ["killed", "silent"])
def test_send_returns_at_once_and_a_running_worker_delivers(
    failure: str,
    redis_server: RedisServer,
    start_worker: StartWorker,
    account: Account,
    ann: User,
    mail_server: MailServer,
) -> None:
    start_worker()
    wakeup.reset()
    make_unavailable(redis_server, failure)

    began = time.monotonic()
    status = _send_in_the_browser(ann, account)
    took = time.monotonic() - began

    assert status == 302, "Send failed while Redis was unavailable"
    # Without the limits on its connections, a silent Redis would delay it without end.
    assert took < 10, f"Send took {took:.2f} s while Redis was {failure}"
    until(_is_sent, "the delivery without Redis")
    recover(redis_server, failure)
    assert [entry.accepted for entry in mail_server.entries()] == [["bob@example.org"]]


@pytest.mark.system
@pytest.mark.parametrize("failure", ["killed", "silent"])
def test_a_worker_that_lost_its_child_while_redis_is_unavailable_delivers(
    failure: str,
    redis_server: RedisServer,
    start_worker: StartWorker,
    account: Account,
    ann: User,
) -> None:
    """Celery replaces a child only while it is connected, and tries to reconnect for ever."""
    worker = start_worker()
    wakeup.reset()
    make_unavailable(redis_server, failure)
    parent = psutil.Process(worker.process.pid)
    (child,) = parent.children()
    child.kill()
    until(lambda: _has_ended(child), "the end of the child")

    assert _send_in_the_browser(ann, account) == 302

    until(_is_sent, "the delivery without the child")
    recover(redis_server, failure)
    until(lambda: _kinds(parent) == ["celery"], "one child again, and nothing beside it")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _kinds(parent: psutil.Process) -> list[str]:
    """Return which program each child process runs."""
    kinds = []
    for child in parent.children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            kinds.append("outbox_deliver" if "outbox_deliver" in child.cmdline() else "celery")
    return kinds


@pytest.fixture
def start_unready(
    redis_server: RedisServer, site_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., CeleryWorker]]:
    """Start a worker that cannot connect to Redis, which is down."""
    started: list[CeleryWorker] = []

    def start(name: str, **environment: str) -> CeleryWorker:
        environment = site_environment | environment
        worker = CeleryWorker(name, environment=environment, log=tmp_path / f"{name}.log")
        started.append(worker)
        return worker

    redis_server.kill()
    yield start
    for worker in started:
        worker.kill()


def test_a_worker_that_starts_while_redis_is_down_delivers(
    start_unready: Callable[..., CeleryWorker], account: Account, ann: User
) -> None:
    wakeup.reset()
    start_unready("early")

    assert _send_in_the_browser(ann, account) == 302

    until(_is_sent, "the delivery by a worker that never had a Redis")


def test_a_worker_sweeps_by_itself_while_redis_is_down(
    start_unready: Callable[..., CeleryWorker], account: Account, ann: User
) -> None:
    """Only a sweep finds that the lifetime of a message has ended."""
    wakeup.reset()
    assert _send_in_the_browser(ann, account) == 302
    in_an_hour = database_now("default") + dt.timedelta(hours=1)
    soon = database_now("default") + dt.timedelta(seconds=1)
    Recipient.objects.update(next_attempt_at=in_an_hour, expires_at=soon)

    start_unready("alone", OUTBOX_SWEEP_INTERVAL="0.5")

    until(lambda: Recipient.objects.get().state == State.EXPIRED, "a sweep without a request")


def test_emptying_redis_loses_nothing(
    redis_server: RedisServer,
    start_worker: StartWorker,
    start_beat: Callable[[], Process],
    account: Account,
    ann: User,
    mail_server: MailServer,
) -> None:
    """Protocol item 101."""
    wakeup.reset()
    _send_in_the_browser(ann, account)
    assert wakeup.flush()
    redis_server.clear()  # a wake-up was sent, and no worker received it
    start_worker()
    start_beat()
    until(lambda: Message.objects.get().status == "sent", "the sweep to find the message")
    assert len(mail_server.entries()) == 1


def _is_sent() -> bool:
    return Message.objects.get().status == "sent"


def _send_in_the_browser(user: User, account: Account) -> int:
    client = Client()
    client.force_login(user)
    form = {
        "account": account.pk,
        "to": "bob@example.org",
        "subject": "while Redis is unavailable",
        "importance": "normal",
        "text": "Hello",
        "send": "1",
    }
    return client.post("/compose/", form).status_code
