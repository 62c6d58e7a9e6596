"""A program that is not Django hears what became of a mail: signed, and again until it listened."""

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
from outbox.delivery import webhooks
from outbox.delivery.sweep import sweep
from outbox.models import Account, Recipient, State, Webhook, WebhookCall
from outbox.models.webhook import forget_webhooks
from tests.unit.docs.blocks import ROOT, blocks, run

pytestmark = pytest.mark.django_db(transaction=True)
HOW_TO = ROOT / "docs" / "how-to" / "webhooks.md"
PAST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Far(HTTPServer):
    """The far end: it remembers what it was told, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.reason = "No Content"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?of=tests"


class Answering(BaseHTTPRequestHandler):
    server: Far

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/hook?of=tests"
        self.server.heard.append((dict(self.headers.items()), body))
        self.send_response(self.server.status, self.server.reason)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        """Say nothing on the test's terminal."""


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


@pytest.fixture
def silent() -> Iterator[Webhook]:
    """A webhook whose receiver lets one call it, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        yield Webhook.objects.create(name="silent", url=url)


@pytest.fixture(autouse=True)
def _account() -> None:
    Account.objects.create(name="shop", from_address="shop@example.com", host="mail.example.com")


def send(**wishes: object) -> api.Handle:
    return api.send(to="ann@example.com", subject="Hello", text=".", **wishes)  # type: ignore[arg-type]  # the test's own


def test_it_is_told_what_became_of_whom(hook: Webhook, far: Far) -> None:
    handle = send(tags=["order"], metadata={"order": 7})

    assert webhooks.call_due() == 1

    body = json.loads(far.heard[0][1])
    assert body["type"] == "recipient.queued"
    data = body["data"]
    assert (data["message_id"], data["address"]) == (handle.pk, "ann@example.com")
    assert (data["state"], data["event_type"]) == ("queued", "queued")
    assert (data["tags"], data["metadata"]) == (["order"], {"order": 7})
    assert data["message_id_header"] == handle.message().message_id


def test_whoever_knows_the_secret_can_tell_that_it_is_ours(hook: Webhook, far: Far) -> None:
    send()
    webhooks.call_due()

    headers, body = far.heard[0]
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
    webhooks.call_due()

    headers, body = far.heard[0]
    is_genuine = reader["is_genuine"]
    assert is_genuine(headers, body, secret)
    assert not is_genuine(headers, body.replace(b"ann@", b"eve@"), secret)
    assert not is_genuine(headers, body, "whsec_" + base64.b64encode(b"a guess").decode())
    assert not is_genuine(headers, body, secret, now=time.time() + 600)


def test_what_was_taken_is_not_told_again(hook: Webhook, far: Far) -> None:
    send()

    assert (webhooks.call_due(), webhooks.call_due()) == (1, 0)
    assert WebhookCall.objects.get().taken_at is not None


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_was_not_taken_is_told_again_in_the_same_words(
    hook: Webhook, far: Far, status: int
) -> None:
    far.status = status
    send()
    webhooks.call_due()
    call = WebhookCall.objects.get()
    assert (call.reply_code, call.taken_at, call.attempts) == (status, None, 1)

    assert webhooks.call_due() == 0, "not at once"
    WebhookCall.objects.update(next_attempt_at=PAST)
    far.status = 200
    webhooks.call_due()

    assert far.heard[0][1] == far.heard[1][1]
    assert far.heard[0][0]["webhook-id"] == far.heard[1][0]["webhook-id"]
    assert WebhookCall.objects.get().taken_at is not None


def test_a_receiver_that_is_down_is_given_up_in_the_end(hook: Webhook) -> None:
    with socket.socket() as nobody:  # it listens to nobody, and lets nobody else have its port
        nobody.bind(("127.0.0.1", 0))
        hook.url = f"http://127.0.0.1:{nobody.getsockname()[1]}/hook"
        hook.save()
        send()
        WebhookCall.objects.update(attempts=webhooks.ATTEMPTS_MAX - 1)

        webhooks.call_due()

    call = WebhookCall.objects.get()
    assert (call.next_attempt_at, call.taken_at) == (None, None)
    assert "ConnectionRefusedError" in call.detail


def test_a_secret_of_standard_webhooks_is_the_bytes_it_stands_for(hook: Webhook) -> None:
    hook.secret = "whsec_" + base64.b64encode(b"between us").decode()

    assert hook.key == b"between us"


def test_a_silent_receiver_is_asked_once_for_all_that_is_due_to_it(
    hook: Webhook, far: Far, silent: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE", 0.4)
    for _ in range(3):
        send()
    begun = time.monotonic()
    made = webhooks.call_due()

    assert made == 4, "each call to the one that answers, one to the other"
    assert time.monotonic() - begun < 2
    assert len(far.heard) == 3
    calls = list(WebhookCall.objects.filter(webhook=silent))
    assert [call.attempts for call in calls] == [1, 1, 1]
    assert [call.detail.partition(",")[0] for call in calls][1:] == ["not tried"] * 2
    assert webhooks.call_due() == 0, "it is left alone for a while"


def test_a_sweep_makes_the_calls_and_does_not_wait_for_them(
    hook: Webhook, far: Far, silent: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE", 1.0)
    send()
    begun = time.monotonic()
    webhooks.call_beside("default")
    webhooks.call_beside("default")  # it is at it: no second thread
    assert time.monotonic() - begun < 0.5
    [thread] = [one for one in threading.enumerate() if one.name == "outbox-webhooks"]
    thread.join(20)

    assert WebhookCall.objects.get(webhook=hook).taken_at is not None
    assert WebhookCall.objects.get(webhook=silent).attempts == 1
    assert len(far.heard) == 1


def test_an_answer_that_drips_is_broken_off(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        hook.save()
        Thread(target=drip, args=[listener], daemon=True).start()
        send()
        begun = time.monotonic()
        webhooks.call_due()

    assert time.monotonic() - begun < 2
    assert WebhookCall.objects.get().reply_code is None


@pytest.mark.parametrize(
    ("setting", "is_called"),
    [(None, False), ("ALLOW_PRIVATE_HOSTS", True), ("WEBHOOK_PRIVATE_HOSTS", True)],
)
def test_private_receiver_is_called_only_when_a_setting_allows_it(
    hook: Webhook, far: Far, settings: Settings, setting: str | None, is_called: bool
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    if setting:
        settings.OUTBOX = settings.OUTBOX | {setting: True}
    send()

    webhooks.call_due()

    assert bool(far.heard) is is_called
    assert ("no address that may be contacted" in WebhookCall.objects.get().detail) is not is_called


def test_an_answer_of_any_bytes_is_kept(hook: Webhook, far: Far) -> None:
    far.status, far.reason = 500, "\0\x1b[31m" + "no" * 1_000
    send()
    webhooks.call_due()

    assert WebhookCall.objects.get().detail.startswith("500 \\x00\x1b[31mno")


def drip(listener: socket.socket) -> None:
    """Answer with a byte in time, again and again."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)  # the drip itself: each byte comes within the patience for one


def test_waits_grow_up_to_six_hours() -> None:
    waits = [webhooks.wait_after(attempts) for attempts in range(1, webhooks.ATTEMPTS_MAX)]

    assert waits[:3] == [10, 30, 90]
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600


def test_it_joins_the_transaction_of_the_change(hook: Webhook) -> None:
    with transaction.atomic():
        send()
        transaction.set_rollback(True)

    assert not WebhookCall.objects.exists()


def test_it_hears_of_the_states_it_asked_for(hook: Webhook, far: Far) -> None:
    hook.states = [State.CANCELLED, State.EXPIRED]
    hook.save()
    first, _ = send(), send()
    api.cancel(first)
    Recipient.objects.filter(state=State.QUEUED).update(expires_at=PAST)
    sweep("default")

    webhooks.call_due()

    told = [json.loads(body)["data"]["state"] for _, body in far.heard]
    assert told == [State.CANCELLED, State.EXPIRED]


def test_one_that_is_not_active_hears_nothing(hook: Webhook) -> None:
    hook.is_active = False
    hook.save()

    send()

    assert not WebhookCall.objects.exists()


def test_one_that_was_deleted_meanwhile_undoes_no_mail(hook: Webhook) -> None:
    Webhook.objects.all().delete()  # which no other process hears of at once

    handle = send()

    assert handle.status() == "queued"
    assert webhooks.call_due() == 0
