"""Fixtures: a user, an account and a queued message."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from outbox import api, wakeup
from outbox.models import Account, Message, Recipient
from tests.shares import share
from tests.states import set_state

Queue = Callable[..., Message]
SOURCE = b"Message-ID: <1@example.org>\r\nFrom: ann@example.org\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def _new_publisher() -> None:
    """Forget that the broker was down in an earlier test."""
    wakeup.reset()


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", password="for this test")


@pytest.fixture
def account(ann: User) -> Account:
    """The only account, and so the one of apps that name none. Ann sends with it, too."""
    account = Account.objects.create(
        name="shop", from_name="The Shop", from_address="shop@example.com", host="mail.example.com"
    )
    share(account, ann)
    return account


@pytest.fixture
def shop(db: None) -> Account:
    """The account of apps that name none."""
    return Account.objects.create(
        name="the shop",
        from_name="The Shop",
        from_address="shop@example.com",
        host="mail.example.com",
        is_app_default=True,
    )


@pytest.fixture
def queue(account: Account) -> Queue:
    """Return a function that queues a message to some addresses, its recipients in any state."""

    def queue_message(*addresses: str, state: str = "", **fields: object) -> Message:
        recipients = [api.OutgoingRecipient(one) for one in addresses or ("bob@example.net",)]
        item = api.Outgoing(
            source=SOURCE,
            envelope_sender="ann@example.org",
            recipients=recipients,
            account=account,
            **fields,  # type: ignore[arg-type]  # the test's own words
        )
        [message] = api.queue_sources([item])
        if state:
            set_state(Recipient.objects.filter(message=message), state)
        return message

    return queue_message
