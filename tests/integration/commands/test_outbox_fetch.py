"""`manage.py outbox_fetch` fetches mailboxes in this process."""

import io
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from outbox.db.clock import database_now
from outbox.inbound.runner import due_mailboxes
from outbox.models import Account, InboundMessage, Mailbox
from tests.integration.fetching.conftest import make_mailbox, message
from tests.integration.fetching.pop_server import USER, PopServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[PopServer]:
    with PopServer() as running:
        running.mailbox.messages = {"a": message(1)}
        yield running


@pytest.fixture
def mailbox(server: PopServer) -> Mailbox:
    owner = User.objects.create_user("ann")
    account = Account.objects.create(
        owner=owner, name="Work", from_address=USER, host="127.0.0.1", username="ann"
    )
    return make_mailbox(account, server)


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("outbox_fetch", *arguments, stdout=output)
    return output.getvalue()


def test_a_named_account_is_fetched(mailbox: Mailbox) -> None:
    assert run("Work") == "Work: 1 new.\n"
    assert run(str(mailbox.pk)) == "Work: 0 new.\n"
    assert InboundMessage.objects.count() == 1


def test_without_arguments_only_what_is_due(mailbox: Mailbox) -> None:
    assert run() == "No mailbox is due.\n"
    Mailbox.objects.update(next_fetch_at=database_now())
    assert run() == "Work: 1 new.\n"
    assert run() == "No mailbox is due.\n"
    assert run("--all") == "Work: 0 new.\n"


@pytest.mark.parametrize("change", [{"is_active": False}, {"next_fetch_at": None}])
def test_what_is_not_due(mailbox: Mailbox, change: dict[str, object]) -> None:
    Mailbox.objects.update(next_fetch_at=database_now())
    assert due_mailboxes("default").exists()
    Mailbox.objects.update(**change)
    assert not due_mailboxes("default").exists()


def test_mailboxes_of_inactive_accounts_are_not_due(mailbox: Mailbox) -> None:
    Mailbox.objects.update(next_fetch_at=database_now())
    Account.objects.update(is_active=False)
    assert not due_mailboxes("default").exists()
    assert run("--all") == "There is no mailbox.\n"


def test_a_failure_is_reported_with_its_reason(server: PopServer, mailbox: Mailbox) -> None:
    server.mailbox.rejects = "-ERR [AUTH] wrong"
    with pytest.raises(CommandError, match="Not fetched: Work"):
        run("Work")


@pytest.mark.parametrize("name", ["Unknown", "999999"])
def test_an_unknown_account(mailbox: Mailbox, name: str) -> None:
    with pytest.raises(CommandError, match="There is no account"):
        run(name)


def test_an_account_without_a_mailbox(mailbox: Mailbox) -> None:
    Account.objects.create(name="Send only", from_address="b@example.org", host="h")
    with pytest.raises(CommandError, match="has no mailbox"):
        run("Send only")
