"""Other programs are called for each change: signed, and again until a call succeeds."""

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from outbox import api
from outbox.delivery.sweep import sweep
from outbox.models import Account, Recipient, State, Webhook, WebhookCall
from outbox.models.webhook import forget_webhooks
from outbox.reasons import ReasonCode
from outbox.webhooks import calls, request
from tests.unit.docs.blocks import ROOT, blocks, run

pytestmark = pytest.mark.django_db(transaction=True)
HOW_TO = ROOT / "docs" / "how-to" / "webhooks.md"
PAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Far(HTTPServer):
    """The receiver: it stores the calls, and responds with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.reason = "No Content"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?of=tests"


class Handler(BaseHTTPRequestHandler):
    server: Far

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/hook?of=tests"
        self.server.calls.append((dict(self.headers.items()), body))
        self.send_response(self.server.status, self.server.reason)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        """Log nothing."""


@pytest.fixture
def far() -> Iterator[Far]:
    with Far() as server:
        thread = Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hook(far: Far) -> Iterator[Webhook]:
    hook = Webhook(name="the warehouse", url=far.url)
    hook.secret = "between us"
    hook.save()
    yield hook
    forget_webhooks()
    calls.slow_webhooks.clear()


@pytest.fixture
def silent() -> Iterator[Webhook]:
    """A webhook whose receiver accepts connections, but does not respond."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        yield Webhook.objects.create(name="silent", url=url)


@pytest.fixture(autouse=True)
def _account() -> None:
    Account.objects.create(name="shop", from_address="shop@example.com", host="mail.example.com")


def send(**options: object) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text=".", **options)  # type: ignore[arg-type]  # the test's own


def test_a_call_has_the_outcome_of_a_recipient(hook: Webhook, far: Far) -> None:
    handle = send(tags=["order"], metadata={"order": 7})

    assert calls.call_due() == 1

    body = json.loads(far.calls[0][1])
    assert body["type"] == "recipient.queued"
    data = body["data"]
    assert (data["message_id"], data["address"]) == (handle.pk, "ann@example.com")
    assert (data["state"], data["event_type"]) == ("queued", "queued")
    assert (data["tags"], data["metadata"]) == (["order"], {"order": 7})
    assert data["message_id_header"] == handle.message().message_id


def test_the_signature_can_be_verified_with_the_secret(hook: Webhook, far: Far) -> None:
    send()
    calls.call_due()

    headers, body = far.calls[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.digest(b"between us", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert abs(int(headers["webhook-timestamp"]) - dt.datetime.now(dt.UTC).timestamp()) < 60


def test_who_checks_as_the_how_to_shows_believes_a_call_of_ours(hook: Webhook, far: Far) -> None:
    hook.secret = secret = "whsec_" + base64.b64encode(b"between us").decode()
    hook.save()
    [shown] = [block for block in blocks(HOW_TO) if "def is_genuine" in block.text]
    reader: dict[str, Any] = {}
    run(shown, reader, HOW_TO.name)
    send()
    calls.call_due()

    headers, body = far.calls[0]
    is_genuine = reader["is_genuine"]
    assert is_genuine(headers, body, secret)
    assert not is_genuine(headers, body.replace(b"ann@", b"eve@"), secret)
    assert not is_genuine(headers, body, "whsec_" + base64.b64encode(b"a guess").decode())
    assert not is_genuine(headers, body, secret, now=time.time() + 600)


def test_a_successful_call_is_not_repeated(hook: Webhook, far: Far) -> None:
    send()

    assert (calls.call_due(), calls.call_due()) == (1, 0)
    assert WebhookCall.objects.get().taken_at is not None


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_failed_call_is_repeated_unchanged(hook: Webhook, far: Far, status: int) -> None:
    far.status = status
    send()
    calls.call_due()
    call = WebhookCall.objects.get()
    assert (call.reply_code, call.taken_at, call.attempts) == (status, None, 1)

    assert calls.call_due() == 0, "not at once"
    WebhookCall.objects.update(next_attempt_at=PAST)
    far.status = 200
    calls.call_due()

    assert far.calls[0][1] == far.calls[1][1]
    assert far.calls[0][0]["webhook-id"] == far.calls[1][0]["webhook-id"]
    assert WebhookCall.objects.get().taken_at is not None


def test_calls_to_an_unavailable_receiver_end_after_the_last_attempt(hook: Webhook) -> None:
    with socket.socket() as closed:  # it does not listen, and keeps its port reserved
        closed.bind(("127.0.0.1", 0))
        hook.url = f"http://127.0.0.1:{closed.getsockname()[1]}/hook"
        hook.save()
        send()
        WebhookCall.objects.update(attempts=calls.MAX_ATTEMPTS - 1)

        calls.call_due()

    call = WebhookCall.objects.get()
    assert (call.next_attempt_at, call.taken_at) == (None, None)
    assert call.result.code == ReasonCode.WEBHOOK_NO_RESPONSE
    assert "ConnectionRefusedError" in str(call.result)


def test_a_secret_of_standard_webhooks_is_the_bytes_it_stands_for(hook: Webhook) -> None:
    hook.secret = "whsec_" + base64.b64encode(b"between us").decode()

    assert hook.keys_at(dt.datetime.now(dt.UTC)) == [b"between us"]


def test_a_silent_receiver_is_asked_once_for_all_that_is_due_to_it(
    hook: Webhook, far: Far, silent: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "DEADLINE", 0.4)
    for _ in range(3):
        send()
    begun = time.monotonic()
    made = calls.call_due()

    assert made == 4, "each call to the one that responds, one to the other"
    assert time.monotonic() - begun < 10
    assert len(far.calls) == 3
    found = list(WebhookCall.objects.filter(webhook=silent))
    assert [call.attempts for call in found] == [1, 1, 1]
    assert [call.result.code for call in found][1:] == [ReasonCode.WEBHOOK_SKIPPED] * 2
    assert calls.call_due() == 0, "it is left alone for a while"


def test_a_sweep_makes_the_calls_and_does_not_wait_for_them(
    hook: Webhook, far: Far, silent: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "DEADLINE", 2.0)
    send()
    calls.call_in_background("default")
    calls.call_in_background("default")  # it is at it: no second thread
    # It still runs, since the silent receiver has its time.
    [thread] = [one for one in threading.enumerate() if one.name == "outbox-webhooks"]
    thread.join(20)

    assert WebhookCall.objects.get(webhook=hook).taken_at is not None
    assert WebhookCall.objects.get(webhook=silent).attempts == 1
    assert len(far.calls) == 1


def test_a_slow_response_is_aborted(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "DEADLINE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        hook.save()
        Thread(target=drip, args=[listener], daemon=True).start()
        send()
        begun = time.monotonic()
        calls.call_due()

    assert time.monotonic() - begun < 10
    assert WebhookCall.objects.get().reply_code is None


@pytest.mark.parametrize(
    ("setting", "is_called"),
    [(None, False), ("ALLOW_PRIVATE_HOSTS", True), ("WEBHOOK_ALLOW_PRIVATE_HOSTS", True)],
)
def test_private_receiver_is_called_only_when_a_setting_allows_it(
    hook: Webhook, far: Far, settings: Settings, setting: str | None, is_called: bool
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    if setting:
        settings.OUTBOX = settings.OUTBOX | {setting: True}
    send()

    calls.call_due()

    assert bool(far.calls) is is_called
    assert ("not allowed" in str(WebhookCall.objects.get().result)) is not is_called


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "http://192.0.2.1/"])
def test_plain_http_is_used_only_when_a_setting_allows_it(
    hook: Webhook, settings: Settings, url: str
) -> None:
    hook.url = url
    hook.save()
    send()
    calls.call_due()
    assert WebhookCall.objects.get().result.code == ReasonCode.WEBHOOK_NOT_ALLOWED
    settings.OUTBOX = settings.OUTBOX | {"WEBHOOK_ALLOW_HTTP": True}
    assert request.is_scheme_allowed(url)


def test_no_text_of_the_receiver_is_stored(hook: Webhook, far: Far) -> None:
    far.status, far.reason = 500, "\0\x1b[31m internal-mail.corp secret-banner"
    send()
    calls.call_due()

    assert str(WebhookCall.objects.get().result) == "500 Internal Server Error"


def test_a_banner_of_another_protocol_is_not_stored(hook: Webhook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        hook.save()

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 internal-mail.corp ESMTP secret-banner\r\n")
                connection.recv(10_000)

        thread = Thread(target=greet, daemon=True)
        thread.start()
        send()
        calls.call_due()
        thread.join(10)

    call = WebhookCall.objects.get()
    assert call.result.code == ReasonCode.WEBHOOK_NOT_HTTP
    assert "secret-banner" not in str(call.result)


def test_the_id_of_a_call_does_not_reveal_their_number(hook: Webhook, far: Far) -> None:
    send()
    calls.call_due()
    name = far.calls[0][0]["webhook-id"]
    assert name == request.call_id(WebhookCall.objects.get())
    assert len(name) == len("call_") + 32
    assert name != "call_1"


def test_a_former_secret_signs_for_a_while(hook: Webhook, far: Far) -> None:
    hook.replace_secret("the new secret")
    hook.save()
    send()
    calls.call_due()
    Webhook.objects.update(former_secret_until=PAST)
    send()
    calls.call_due()

    both, one = (headers["webhook-signature"].split() for headers, _ in far.calls)
    assert len(both) == 2
    assert len(one) == 1
    headers, body = far.calls[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for key, signature in zip((b"the new secret", b"between us"), both, strict=True):
        digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert signature == f"v1,{digest}"


def drip(listener: socket.socket) -> None:
    """Respond with single bytes, each in time."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)  # the drip itself: each byte comes within the patience for one


def test_waits_grow_up_to_six_hours() -> None:
    waits = [calls.BACKOFF.wait(attempts) for attempts in range(1, calls.MAX_ATTEMPTS)]

    assert waits[:3] == [10, 30, 90]
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600


def test_it_joins_the_transaction_of_the_change(hook: Webhook) -> None:
    with transaction.atomic():
        send()
        transaction.set_rollback(True)

    assert not WebhookCall.objects.exists()


def test_a_webhook_is_called_for_its_states_only(hook: Webhook, far: Far) -> None:
    hook.states = [State.CANCELLED, State.EXPIRED]
    hook.save()
    first, _ = send(), send()
    api.cancel(first)
    Recipient.objects.filter(state=State.QUEUED).update(expires_at=PAST)
    sweep("default")

    calls.call_due()

    states = [json.loads(body)["data"]["state"] for _, body in far.calls]
    assert states == [State.CANCELLED, State.EXPIRED]


def test_an_inactive_webhook_is_not_called(hook: Webhook) -> None:
    hook.is_active = False
    hook.save()

    send()

    assert not WebhookCall.objects.exists()


def test_a_deleted_webhook_does_not_affect_messages(hook: Webhook) -> None:
    Webhook.objects.all().delete()  # other processes do not know it at once

    handle = send()

    assert handle.status() == "queued"
    assert calls.call_due() == 0
