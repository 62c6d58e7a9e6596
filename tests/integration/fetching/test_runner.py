"""Due mailboxes are fetched in a limited number of threads, and each by one of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from dev.processes import wait_until
from outbox import tasks
from outbox.db.clock import database_now
from outbox.delivery import process
from outbox.inbound import runner
from outbox.inbound.fetch import fetch_mailbox
from outbox.models import Account, InboundMessage, Mailbox
from outbox.tasks import fetch
from tests.integration.fetching.conftest import make_mailbox, message
from tests.integration.fetching.pop_server import PopServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.every_database]


@pytest.fixture(autouse=True)
def _runner() -> Iterator[None]:
    yield
    runner.stop()
    wait_until(lambda: not runner._running.fetches, within=30, what="the fetches ended")
    runner._running.is_stopping = False


class Gate:
    """Holds every session at its first RETR."""

    def __init__(self, server: PopServer) -> None:
        self.opened = threading.Event()
        self.waiting = 0
        self._lock = threading.Lock()
        server.mailbox.before = self._wait

    def _wait(self, command: str) -> None:
        if command == "RETR":
            with self._lock:
                self.waiting += 1
            self.opened.wait(60)


def due(owner: User, server: PopServer, count: int) -> list[Mailbox]:
    found = []
    for number in range(count):
        account = Account.objects.create(
            owner=owner, name=f"a{number}", from_address=f"a{number}@example.org", host="127.0.0.1"
        )
        found.append(make_mailbox(account, server, next_fetch_at=database_now()))
    return found


def test_the_task_fetches_what_is_due(server: PopServer, owner: User) -> None:
    server.mailbox.messages = {"a": message(1)}
    due(owner, server, 1)
    fetch()
    wait_until(InboundMessage.objects.exists, within=60, what="the message was stored")


def test_the_number_of_threads_is_limited(owner: User, settings: LazySettings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"FETCH_CONCURRENCY": 2}
    servers = [PopServer() for _ in range(3)]
    gates = []
    for number, server in enumerate(servers):
        server.__enter__()
        server.mailbox.messages = {"a": message(number)}
        gates.append(Gate(server))
        account = Account.objects.create(
            owner=owner, name=f"b{number}", from_address="b@example.org", host="127.0.0.1"
        )
        make_mailbox(account, server, next_fetch_at=database_now())
    assert runner.fetch_in_background("default") == 2
    wait_until(lambda: sum(one.waiting for one in gates) == 2, within=60, what="two sessions")
    assert runner.fetch_in_background("default") == 0
    for gate in gates:
        gate.opened.set()
    wait_until(lambda: not runner._running.fetches, within=60, what="both ended")
    assert runner.fetch_in_background("default") == 1
    wait_until(lambda: InboundMessage.objects.count() == 3, within=60, what="all were stored")
    for server in servers:
        server.__exit__(None, None, None)


def test_of_two_fetchers_one_works(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1)}
    gate = Gate(server)
    Mailbox.objects.update(next_fetch_at=database_now())
    assert runner.fetch_in_background("default") == 1
    wait_until(lambda: gate.waiting == 1, within=60, what="the first one downloads")
    assert fetch_mailbox(mailbox.pk).is_busy
    assert server.mailbox.commands["PASS"] == 1, "the second one did not even log in"
    gate.opened.set()
    wait_until(lambda: not runner._running.fetches, within=60, what="the first one ended")
    assert InboundMessage.objects.count() == 1


def test_a_mailbox_that_another_process_has_fetched_is_not_due_any_more(
    server: PopServer, mailbox: Mailbox
) -> None:
    """Otherwise each process would send a rejected password once."""
    server.mailbox.rejects = "-ERR [AUTH] wrong password"
    fetch_mailbox(mailbox.pk)  # by another process, after this one has found the mailbox
    stopped = threading.Event()
    fetches = runner._running.fetches
    arguments = [fetches, runner._fetch, mailbox.pk, "default", stopped]
    thread = threading.Thread(target=runner._run, args=arguments)
    fetches[mailbox.pk] = thread, stopped
    thread.start()
    thread.join(60)
    assert server.mailbox.commands["PASS"] == 1


def test_a_stopped_process_frees_the_mailbox(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.messages = {"a": message(1)}
    gate = Gate(server)
    Mailbox.objects.update(next_fetch_at=database_now())
    assert runner.fetch_in_background("default") == 1
    wait_until(lambda: gate.waiting == 1, within=60, what="it downloads")
    runner.stop()
    mailbox.refresh_from_db()
    assert mailbox.lease_until is None
    assert mailbox.next_fetch_at is not None
    assert mailbox.next_fetch_at <= database_now(), "another process continues at once"
    assert not mailbox.reason
    gate.opened.set()


def running(pk: int, wait: Callable[[threading.Event], object]) -> threading.Thread:
    """Start a thread as the fetch of a mailbox."""
    stopped = threading.Event()

    def run() -> None:
        wait(stopped)
        with runner._running.lock:
            del runner._running.fetches[pk]

    thread = threading.Thread(target=run, daemon=True)
    runner._running.fetches[pk] = thread, stopped
    thread.start()
    return thread


class StoppingEngine:
    """An engine that ends when it is stopped."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.ended = threading.Event()

    def wake(self) -> None:
        pass

    def stop(self, *, finish_within: float) -> None:
        self.ended.set()


@pytest.mark.parametrize("stop", [tasks._stop, tasks._stop_child])
def test_the_engine_does_not_wait_for_fetches(
    stop: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StoppingEngine()
    monkeypatch.setattr(process, "_running", engine)

    def wait(stopped: threading.Event) -> None:
        stopped.wait(60)
        engine.ended.wait(60)

    thread = running(1, wait)
    stop()
    assert not thread.is_alive()


def test_all_fetches_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_STOPS_WITHIN", 0.5)
    released = threading.Event()
    for pk in range(20):
        running(pk, lambda _stopped: released.wait(60))
    began = time.monotonic()
    runner.stop()
    assert time.monotonic() - began < 5
    released.set()
