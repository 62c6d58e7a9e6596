"""One user sends what exceeds the limits. The requests of another one get responses.

The server has two threads, and the hostile requests occupy both. Without the limits each of them
took from half a minute to several minutes.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import reverse

from outbox import api
from outbox.backend import outgoing
from outbox.exceptions import InvalidMessageError
from outbox.models import Account, Message, Template
from tests.integration.web.conftest import account, anna, ben, signed_in, typed

__all__ = ["account", "anna", "ben"]

THREADS = 2
RESPONSE_WITHIN = 20.0  # seconds, on a busy machine
MANY = ", ".join(f"a{number}@example.org" for number in range(200_000))
LIST = MANY.split(", ")

pytestmark = pytest.mark.django_db(transaction=True)


class FewThreads(WSGIServer):
    """A server whose requests wait for one of two threads."""

    request_queue_size = 50

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pool = ThreadPoolExecutor(THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool.submit(self._respond, request, client_address)

    def _respond(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            connections.close_all()


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Write nothing."""


@pytest.fixture
def port(transactional_db: None) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, get_wsgi_application(), FewThreads, Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.pool.shutdown()
    server.server_close()
    thread.join()


class Browser:
    """A signed-in user."""

    def __init__(self, port: int, user: User) -> None:
        client: Client = signed_in(user)
        token = _get_new_csrf_string()
        cookies = {name: morsel.value for name, morsel in client.cookies.items()}
        cookies["csrftoken"] = token
        self._port = port
        self._headers = {
            "Host": "localhost",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": token,
        }

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None, {})

    def post(self, path: str, fields: dict[str, str]) -> tuple[int, str]:
        form = {"Content-Type": MULTIPART_CONTENT}
        return self._ask("POST", path, encode_multipart(BOUNDARY, fields), form)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=200)
        connection.request(method, path, body, self._headers | headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


Hostile = Callable[[Browser, Account], object]


def rejected(call: Callable[[], object]) -> None:
    with pytest.raises(InvalidMessageError):
        call()


def send(account: Account, **options: Any) -> None:
    rejected(lambda: api.send(account=account, **{"to": "a@example.org", "text": "Hi"} | options))


def post(path: str, **fields: str) -> Hostile:
    return lambda browser, account: browser.post(path, typed(account, form="m", **fields))


def import_or_backend(**options: Any) -> Hostile:
    """Both read a message of Django with `outgoing`."""
    given = {"subject": "Hi", "body": "Hi", "to": ["a@example.org"]} | options
    return lambda _browser, account: rejected(lambda: outgoing(EmailMessage(**given), account))


FILES = [("a.txt", b"1")] * 5_000
HOSTILE: dict[str, Hostile] = {
    "page: preview of a template": post("/templates/preview/", text="{{" * 100_000),
    "page: template": post("/templates/add/", name="A", text="{{ a" * 50_000),
    "page: HTML of a template": post("/templates/add/", name="A", html="{{" * 100_000),
    "page: recipients": post("/compose/save/", to=MANY),
    "page: recipients to send to": post("/compose/", to=MANY[:100_000], send="1"),
    "page: address field": post("/compose/save/", to="<" * 100_000, cc="a@" * 50_000),
    "page: text": post("/compose/save/", text="x" * 2_000_000),
    "API: recipients": lambda _browser, account: send(account, to=LIST),
    "API: recipients in a text": lambda _browser, account: send(account, to=MANY),
    "API: attachments": lambda _browser, account: send(account, attachments=FILES),
    "API: template": lambda _browser, account: send(account, text="{{ a" * 50_000, context={}),
    "API: draft": lambda _browser, account: rejected(
        lambda: api.save_draft(User.objects.get(username="anna"), api.DraftFields(to=MANY))
    ),
    "backend and import: recipients": import_or_backend(to=LIST),
    "backend and import: attachments": import_or_backend(attachments=FILES),
    "backend and import: subject": import_or_backend(subject="x" * 12_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_second_user_gets_responses(
    name: str, port: int, account: Account, anna: User, ben: User
) -> None:
    hostile, other = Browser(port, anna), Browser(port, ben)
    assert other.get(reverse("outbox:list"))[0] == 200
    began = time.monotonic()
    with ThreadPoolExecutor(2 * THREADS) as attackers:
        running: list[Future[object]] = [
            attackers.submit(_closing, HOSTILE[name], hostile, account) for _ in range(2 * THREADS)
        ]
        assert other.get(reverse("outbox:list"))[0] == 200
        assert other.post("/compose/save/", typed(account, form="b"))[0] == 200
        assert time.monotonic() - began < RESPONSE_WITHIN
        for one in running:
            one.result(timeout=200)
    assert not Message.objects.filter(owner=anna, queued_at__isnull=False).exists()
    assert not Template.objects.exists()


def _closing(call: Hostile, browser: Browser, account: Account) -> object:
    try:
        return call(browser, account)
    finally:
        connections.close_all()


def test_replies_to_many_attachments(port: int, account: Account, anna: User, ben: User) -> None:
    """Parsing the source for each attachment took 113 seconds for 1,000."""
    files = [api.AttachmentPart(name="a.txt", content_type="text/plain", data=b"1")] * 200
    handle = api.send(account=account, to="a@example.org", text="Hi", attachments=files, owner=anna)
    hostile, other = Browser(port, anna), Browser(port, ben)
    path = f"/compose/?from={handle.pk}&as=forward"
    began = time.monotonic()
    with ThreadPoolExecutor(2 * THREADS) as attackers:
        running = [attackers.submit(hostile.get, path) for _ in range(2 * THREADS)]
        assert other.get(reverse("outbox:list"))[0] == 200
        assert time.monotonic() - began < RESPONSE_WITHIN
        assert [one.result(timeout=200)[0] for one in running] == [200] * len(running)
