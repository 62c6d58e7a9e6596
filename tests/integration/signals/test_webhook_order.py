"""A receiver that responds slowly does not keep the calls to others waiting."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from outbox import api
from outbox.models import Account, Webhook
from outbox.models.webhook import forget_webhooks
from outbox.webhooks import calls

pytestmark = pytest.mark.django_db(transaction=True)
SLOW = 0.1


class Receiver(HTTPServer):
    """Responds after a while, and notes its name in a list."""

    def __init__(self, name: str, wait: float, called: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name, self.wait, self.called = name, wait, called


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.called.append(self.server.name)
        threading.Event().wait(self.server.wait)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        """Log nothing."""


@contextmanager
def receiver(name: str, wait: float, called: list[str]) -> Iterator[None]:
    with Receiver(name, wait, called) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        Webhook.objects.create(name=name, url=f"http://127.0.0.1:{server.server_port}/")
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the receivers in the order of the calls: a slow one, and a fast one."""
    monkeypatch.setattr(calls, "SLOW", SLOW)
    names: list[str] = []
    with receiver("a slow one", 3 * SLOW, names), receiver("fast", 0, names):
        yield names
    calls.slow_webhooks.clear()
    forget_webhooks()


def send() -> None:
    account = Account.objects.first() or Account.objects.create(
        name="shop", from_address="shop@example.com", host="mail.example.com"
    )
    api.send(to="ann@example.com", subject="Hello", text=".", account=account)


def test_after_a_slow_response_calls_to_others_come_first(called: list[str]) -> None:
    for _ in range(4):
        send()
    calls.call_all_due("default")
    assert called == [
        "a slow one",
        "fast",
        "fast",
        "fast",
        "fast",
        "a slow one",
        "a slow one",
        "a slow one",
    ]


def test_a_call_that_becomes_due_during_a_slow_call_is_made_next(called: list[str]) -> None:
    for _ in range(3):
        send()
    assert calls.call_due() == 1, "a slow call ends a round"
    while called[-1] != "a slow one" or called.count("a slow one") < 2:
        calls.call_due()
    send()
    calls.call_due()
    assert called[-2:] == ["fast", "a slow one"]


def test_a_receiver_that_is_fast_again_waits_no_longer(
    called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send()
    calls.call_all_due("default")
    monkeypatch.setattr(calls, "SLOW", 60)
    send()
    calls.call_all_due("default")
    send()
    calls.call_all_due("default")
    assert called == ["a slow one", "fast", "fast", "a slow one", "a slow one", "fast"]
