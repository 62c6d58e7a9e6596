"""Staff with all permissions, staff with view permissions, and a message with an attempt."""

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from outbox import api
from outbox.models import Account, Attempt, Message, Outcome, Recipient, SmtpSession, State
from tests.states import set_state

SOURCE = b"From: shop@example.com\r\nSubject: Invoice\r\n\r\nText\r\n"


@pytest.fixture
def account(db: None) -> Account:
    account = Account(name="shop", from_address="shop@example.com", host="mail.example.com")
    account.secret = "swordfish"
    account.save()
    return account


@pytest.fixture
def staff(db: None) -> Client:
    """A client of a superuser."""
    return _signed_in(User.objects.create_superuser("staff"))


@pytest.fixture
def onlooker(db: None) -> Client:
    """A client of staff with all view permissions."""
    user = User.objects.create_user("onlooker", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="outbox", codename__startswith="view_")
    )
    return _signed_in(user)


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def queue(account: Account, *addresses: str, subject: str = "Invoice") -> Message:
    """Queue one message to these addresses."""
    outgoing = api.Outgoing(
        source=SOURCE.replace(b"Invoice", subject.encode()),
        envelope_sender=account.from_address,
        recipients=[api.OutgoingRecipient(address) for address in addresses],
        account=account,
        from_header=account.from_address,
    )
    return api.queue_sources([outgoing])[0]


@pytest.fixture
def tried(account: Account) -> Message:
    """A message that the server rejected for its first recipient; the second one waits."""
    message = queue(account, "jane@example.com", "joe@example.com")
    session = SmtpSession.objects.create(
        host="mail.example.com",
        address="192.0.2.1",
        port=587,
        started_at=timezone.now(),
        greeting="mail.example.com ESMTP",
        extensions={"PIPELINING": "", "SIZE": "1000000"},
        tls={"version": "TLSv1.3"},
        opening=json.dumps([[1.5, "S", "220 ready"], [2.5, "C", "AUTH PLAIN ***"]]),
        closing=json.dumps([[90.0, "C", "QUIT"]]),
    )
    attempt = Attempt.objects.create(
        message=message,
        session=session,
        started_at=timezone.now(),
        outcome=Outcome.PARTIAL,
        transfer=json.dumps([[12.0, "C", "RCPT TO:<jane@example.com>"], [14.0, "S", "550 <b>no"]]),
        phases_ms=json.dumps({"rcpt": 2.0}),
    )
    refused = Recipient.objects.filter(address="jane@example.com")
    set_state(
        refused,
        State.FAILED,
        attempt=attempt,
        attempts=1,
        reply_code=550,
        reply_text="5.1.1 <b>no such user",
        reply_command="RCPT",
    )
    return message
