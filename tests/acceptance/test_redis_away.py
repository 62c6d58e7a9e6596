"""The database is the queue, Redis only rings: mail composed while Redis is away goes out."""

import signal
import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dev.processes import Process
from dev.redis_server import RedisServer
from outbox import bell
from outbox.models import Account, Message, Recipient, State
from outbox.testing.mailserver import MailServer
from tests.acceptance.conftest import until
from tests.conftest import StartWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("away", ["killed", "silent"])
def test_send_answers_at_once_and_the_mail_goes_out_after_redis_is_back(
    away: str,
    redis_server: RedisServer,
    start_worker: StartWorker,
    start_beat: Callable[[], Process],
    account: Account,
    ann: User,
    mail_server: MailServer,
) -> None:
    start_worker()  # takes tasks, but was never told to start an engine
    bell.forget()
    assert redis_server.process is not None
    if away == "killed":
        redis_server.kill()
    else:
        redis_server.process.signal_group(signal.SIGSTOP)

    began = time.monotonic()
    answer = _send_in_the_browser(ann, account)
    took = time.monotonic() - began

    assert answer == 302, "Send failed while Redis was away"
    assert took < 2, f"Send took {took:.2f} s while Redis was {away}"
    assert Recipient.objects.get().state == State.QUEUED
    assert not mail_server.entries()

    if away == "killed":
        redis_server.start()
    else:
        redis_server.process.signal_group(signal.SIGCONT)
    start_beat()
    until(lambda: Message.objects.get().status == "sent", "the mail to go out by itself")
    assert [entry.accepted for entry in mail_server.entries()] == [["bob@example.org"]]


def test_emptying_redis_loses_nothing(
    redis_server: RedisServer,
    start_worker: StartWorker,
    start_beat: Callable[[], Process],
    account: Account,
    ann: User,
    mail_server: MailServer,
) -> None:
    """Protocol item 101."""
    bell.forget()
    _send_in_the_browser(ann, account)
    redis_server.clear()  # the bell was rung, and nobody heard it
    start_worker()
    start_beat()
    until(lambda: Message.objects.get().status == "sent", "the sweep to find the mail")
    assert len(mail_server.entries()) == 1


def _send_in_the_browser(user: User, account: Account) -> int:
    client = Client()
    client.force_login(user)
    form = {
        "account": account.pk,
        "to": "bob@example.org",
        "subject": "while Redis is away",
        "priority": 3,
        "text": "Hello",
        "send": "1",
    }
    return client.post("/compose/", form).status_code
