"""A person, an account and a queued mail; the verbs need no more."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from outbox import api, bell
from outbox.models import Account, Message, Recipient

Queue = Callable[..., Message]
SOURCE = b"Message-ID: <1@example.org>\r\nFrom: ann@example.org\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def _bell_forgets() -> None:
    """What an earlier test found down is tried again."""
    bell.forget()


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", password="for this test")


@pytest.fixture
def account(db: None) -> Account:
    """The only account, and so the one of apps that name none."""
    return Account.objects.create(
        name="shop", from_name="The Shop", from_address="shop@example.com", host="mail.example.com"
    )


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
    """Queue a mail to these addresses; its recipients can be put in any state."""

    def act(*addresses: str, state: str = "", **fields: object) -> Message:
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
            Recipient.objects.filter(message=message).update(state=state)
        return message

    return act
