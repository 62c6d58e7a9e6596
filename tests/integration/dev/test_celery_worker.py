"""A worker started by a test is a real one: it shares the database, and dies for real."""

import pytest
from django.contrib.auth.models import User

from dev.processes import StartError, wait_until
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


def sweep_until(message: Message, status: Status, within: float = 30) -> None:
    """Sweep like beat: a wake-up may be lost, which costs time only."""

    def has_it() -> bool:
        app.send_task("outbox.sweep")
        message.refresh_from_db()
        return message.status == status

    wait_until(has_it, within=within, what=f"a message that is {status}")


def test_it_delivers_what_the_test_sends(
    start_worker: StartWorker, mail_server: MailServer
) -> None:
    start_worker()
    message = api.send(
        account=account_at(mail_server), to="ben@example.com", subject="Hello"
    ).message()
    sweep_until(message, Status.SENT)
    assert len(mail_server.mailboxes.messages("ben@example.com")) == 1


@pytest.mark.system
def test_what_a_killed_one_left_is_delivered_by_the_next(
    start_worker: StartWorker, mail_server: MailServer
) -> None:
    account = account_at(mail_server)
    first = start_worker("first")
    first.kill()
    message = api.send(account=account, to="ben@example.com", subject="Hello").message()
    with pytest.raises(StartError):
        sweep_until(message, Status.SENT, within=1)
    start_worker("second")
    sweep_until(message, Status.SENT)
    assert len(mail_server.mailboxes.messages("ben@example.com")) == 1
