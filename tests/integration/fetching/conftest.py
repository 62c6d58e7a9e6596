"""An account with a mailbox on a POP3 server of the test."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User

from outbox.models import Account, Mailbox
from tests.integration.fetching.pop_server import PASSWORD, USER, PopServer


@pytest.fixture
def server() -> Iterator[PopServer]:
    with PopServer() as running:
        yield running


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("ann", password="for this test")


@pytest.fixture
def mailbox(server: PopServer, owner: User) -> Mailbox:
    account = Account.objects.create(
        owner=owner, name="Work", from_address=USER, host="127.0.0.1", port=1, security="none"
    )
    return make_mailbox(account, server)


def make_mailbox(account: Account, server: PopServer, **values: object) -> Mailbox:
    found = Mailbox(
        account=account, host="127.0.0.1", port=server.port, security="none", username=USER
    )
    for name, value in values.items():
        setattr(found, name, value)
    found.secret = PASSWORD
    found.save()
    return found


def message(number: int, *, more: str = "", body: str = "Hello.") -> bytes:
    """Return a message with its own Message-ID."""
    head = (
        f"From: Bob <Bob@Example.COM>\r\nTo: {USER}\r\nSubject: Number {number}\r\n"
        f"Message-ID: <{number}@example.com>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0800\r\n{more}"
    )
    return f"{head}\r\n{body}\r\n".encode()
