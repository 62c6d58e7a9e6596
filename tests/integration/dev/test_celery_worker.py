"""A worker started by a test is a real one: it shares the database, and dies for real."""

import time

import pytest
from django.contrib.auth.models import User

from mailsite.celery import app
from outbox import api
from outbox.models import Account, Message, Security, Status
from outbox.testing.mailserver import MailServer
from tests.conftest import StartWorker

pytestmark = pytest.mark.django_db(transaction=True)


def account_at(server: MailServer) -> Account:
    return Account.objects.create(
        owner=User.objects.create_user("anna"),
        name="Local",
        from_address="anna@example.com",
        host=server.host,
        port=server.port,
        security=Security.NONE,
    )


def becomes(message: Message, status: Status, within: float) -> bool:
    """Wait for a status, sweeping as beat would: a bell may be lost, and costs only time."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        app.send_task("outbox.sweep")
        message.refresh_from_db()
        if message.status == status:
            return True
        time.sleep(0.5)
    return False


def test_it_delivers_what_the_test_sends(
    start_worker: StartWorker, mail_server: MailServer
) -> None:
    start_worker()
    message = api.send(
        account=account_at(mail_server), to="ben@example.com", subject="Hello"
    ).message()
    assert becomes(message, Status.SENT, within=30)
    assert len(mail_server.mailboxes.messages("ben@example.com")) == 1


def test_what_a_killed_one_left_is_delivered_by_the_next(
    start_worker: StartWorker, mail_server: MailServer
) -> None:
    account = account_at(mail_server)
    first = start_worker("first")
    first.kill()
    message = api.send(account=account, to="ben@example.com", subject="Hello").message()
    assert not becomes(message, Status.SENT, within=1)
    start_worker("second")
    assert becomes(message, Status.SENT, within=30)
    assert len(mail_server.mailboxes.messages("ben@example.com")) == 1
