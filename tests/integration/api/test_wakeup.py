"""Wake-ups follow commits, are few, and never delay the caller."""

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
from outbox import wakeup
from outbox.models import Message, Recipient, State
from tests.integration.api.conftest import Queue

pytestmark = pytest.mark.django_db(transaction=True)  # commits are what is tested

TASKS = "outbox"  # Celery's list in Redis


@pytest.fixture(autouse=True)
def lasting_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an acknowledgement ends the mark, however long a test takes on a busy machine."""
    monkeypatch.setattr(wakeup, "_MARK_FOR_MS", 3_600_000)


def wakeups(server: RedisServer) -> int:
    """Return how many wake-ups wait for a worker, once all of this process are published."""
    assert wakeup.flush(5)
    return tasks(server)


def tasks(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        count = client.llen(TASKS)
    assert isinstance(count, int)
    return count


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "mailsite.settings"},
        check=True,
        timeout=90,
        capture_output=True,
        text=True,
    )


def test_many_messages_send_one_wakeup(redis_server: RedisServer, queue: Queue) -> None:
    for _ in range(20):
        queue()
    assert wakeups(redis_server) == 1


def test_a_wakeup_follows_an_acknowledged_one(redis_server: RedisServer, queue: Queue) -> None:
    queue()
    assert wakeups(redis_server) == 1
    wakeup.acknowledge()
    queue()
    assert wakeups(redis_server) == 2


def test_a_wakeup_follows_an_expired_one(redis_server: RedisServer, queue: Queue) -> None:
    """The worker that took the first one may have been killed."""
    queue()
    assert wakeups(redis_server) == 1
    with redis.Redis.from_url(redis_server.url) as client:
        assert 0 < client.pttl(wakeup._MARK) <= wakeup._MARK_FOR_MS  # it expires
        client.delete(wakeup._MARK)
    queue()
    assert wakeups(redis_server) == 2


def test_a_burst_of_commits_sends_few_wakeups(redis_server: RedisServer, queue: Queue) -> None:
    """Even when a worker acknowledges each of them at once."""
    done = threading.Event()

    def acknowledge() -> None:
        while not done.wait(0.001):
            wakeup.acknowledge()

    worker = threading.Thread(target=acknowledge)
    worker.start()
    began = time.monotonic()
    for _ in range(50):
        wakeup.notify()
    assert wakeup.flush(5)
    lasted = time.monotonic() - began
    done.set()
    worker.join()
    assert 1 <= tasks(redis_server) <= 2 + lasted / 0.05


def test_one_thread_publishes_all_wakeups(redis_server: RedisServer, queue: Queue) -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        queue()
        wakeup.acknowledge()
    assert wakeup.flush(5)
    started = set(threading.enumerate()) - before
    assert [thread.name for thread in started] == ["outbox-wakeup"]


def test_the_last_wakeup_is_sent_before_the_process_ends(redis_server: RedisServer) -> None:
    run_python(
        "from outbox import wakeup\n"
        "wakeup.notify()\n"
        "assert wakeup.flush(5)\n"
        "wakeup.acknowledge()\n"
        "wakeup.notify()"
    )
    assert tasks(redis_server) == 2


@pytest.mark.parametrize("is_hanging", [False, True])
def test_a_process_ends_in_time_without_a_broker(
    is_hanging: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if is_hanging:
            listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        ended = run_python(
            "import atexit, time\n"
            "def report(): print(time.monotonic() - begun)\n"
            "atexit.register(report)\n"  # called last, since it was registered first
            "from outbox import wakeup\n"
            "import celery.app\n"
            "begun = time.monotonic()\n"
            "wakeup.notify()"
        )
    assert float(ended.stdout) < 2


def test_a_forked_child_sends_wakeups_too(redis_server: RedisServer) -> None:
    """As a child of Celery's prefork pool or of gunicorn's --preload, while its parent sends."""
    run_python(
        "import os\n"
        "from outbox import wakeup\n"
        "wakeup.notify()\n"
        "assert wakeup.flush(5)\n"
        "wakeup.acknowledge()\n"
        "with wakeup._publisher._changed:\n"  # as if another thread had it locked during the fork
        "    child = os.fork()\n"
        "if child == 0:\n"
        "    wakeup.notify()\n"
        "    os._exit(0 if wakeup.flush(5) else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    assert tasks(redis_server) == 2


def test_a_wakeup_is_sent_after_the_commit(redis_server: RedisServer, queue: Queue) -> None:
    """A worker that woke earlier would find nothing to deliver."""
    with transaction.atomic():
        queue()
        queue()
        assert wakeups(redis_server) == 0
    assert wakeups(redis_server) == 1


def test_a_rollback_sends_no_wakeup(redis_server: RedisServer, queue: Queue) -> None:
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        queue()
        raise ZeroDivisionError
    assert wakeups(redis_server) == 0
    assert not Message.objects.exists()
    assert not Recipient.objects.exists()


def test_a_rolled_back_savepoint_suppresses_no_later_wakeup(
    redis_server: RedisServer, queue: Queue
) -> None:
    with transaction.atomic():
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            queue()
            raise ZeroDivisionError
        queue()
    assert Message.objects.count() == 1
    assert wakeups(redis_server) == 1


def test_a_rolled_back_savepoint_suppresses_no_earlier_wakeup(
    redis_server: RedisServer, queue: Queue
) -> None:
    with transaction.atomic():
        queue()
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            queue()
            raise ZeroDivisionError
    assert Message.objects.count() == 1
    assert wakeups(redis_server) == 1


def test_a_released_savepoint_sends_a_wakeup(redis_server: RedisServer, queue: Queue) -> None:
    with transaction.atomic(), transaction.atomic():
        queue()
    assert wakeups(redis_server) == 1


def test_a_wakeup_is_sent_again_after_redis_lost_its_keys(
    redis_server: RedisServer, queue: Queue
) -> None:
    """Protocol item 101: no promise depends on the mark in Redis."""
    queue()
    assert wakeups(redis_server) == 1
    redis_server.clear()
    queue()
    assert wakeups(redis_server) == 1


def test_a_dead_broker_does_not_delay_send(queue: Queue) -> None:
    """No Redis runs in this test. Send works, and the sweep finds the message."""
    begun = time.monotonic()
    queue()
    assert time.monotonic() - begun < 5
    assert Recipient.objects.get().state == State.QUEUED


@pytest.fixture
def broker_at(settings: LazySettings) -> Iterator[Callable[[str], None]]:
    """Return a function that sets another broker in Celery's own settings, without any timeout."""
    ours = app_or_default()

    def use(url: str) -> None:
        Celery("of a project", broker=url).set_current()
        settings.CELERY_BROKER_URL = url
        settings.OUTBOX = settings.OUTBOX | {"REDIS_URL": ""}

    yield use
    ours.set_current()
    wakeup.reset()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """Return the port of a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{}/0",
        "sentinel://127.0.0.1:{}",
        "amqp://127.0.0.1:{}//",
        "amqp://broker.invalid//",
    ],
)
def test_a_silent_broker_does_not_delay_send(
    url: str, black_hole: int, broker_at: Callable[[str], None], queue: Queue
) -> None:
    broker_at(url.format(black_hole))
    times = []
    for _ in range(20):
        begun = time.monotonic()
        queue()
        times.append(time.monotonic() - begun)
    # On a busy machine any call may take long, but not each of them.
    assert min(times) < 0.25, "each call waits for the broker"
    assert Recipient.objects.count() == 20


def test_a_silent_broker_delays_no_thread(
    black_hole: int, broker_at: Callable[[str], None], queue: Queue
) -> None:
    broker_at(f"amqp://127.0.0.1:{black_hole}//")
    queue()
    begun = time.monotonic()

    def notify() -> None:
        wakeup.notify()
        connections.close_all()  # this thread's own

    other = threading.Thread(target=notify)
    other.start()
    other.join()
    assert time.monotonic() - begun < 3


def test_a_broker_that_comes_back_is_used_again(
    redis_server: RedisServer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "_PAUSE_AFTER_FAILURE", 0.1)
    redis_server.kill()
    queue()
    assert wakeup.flush(5)
    redis_server.start()

    def is_sent() -> bool:
        wakeup.notify()
        return wakeups(redis_server) > 0

    wait_until(is_sent, within=10, what="a wake-up")


def test_the_status_does_not_wait_for_a_silent_broker(
    black_hole: int, broker_at: Callable[[str], None]
) -> None:
    broker_at(f"amqp://127.0.0.1:{black_hole}//")
    begun = time.monotonic()
    assert not wakeup.is_broker_reachable()
    assert time.monotonic() - begun < 10


def test_a_task_without_a_thread_is_logged_and_drops_no_other_function(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_thread: threading.Thread) -> None:  # as on a machine that has too many
        raise RuntimeError("can't start new thread")

    called: list[str] = []
    with transaction.atomic():
        wakeup.request_task("outbox.fetch")
        transaction.on_commit(lambda: called.append("later"))
        monkeypatch.setattr(threading.Thread, "start", fail)
    monkeypatch.undo()
    assert called == ["later"]
    assert "can't start new thread" in caplog.text
