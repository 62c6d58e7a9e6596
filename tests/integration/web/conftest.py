"""Anna owns an account that is shared with Ben. Carl has no access to it."""

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.test import Client

from outbox import api
from outbox.models import Account, Message
from outbox.web.messages.preview import preview_address
from tests.shares import share


@pytest.fixture
def anna(db: None) -> User:
    return User.objects.create_user("anna")


@pytest.fixture
def ben(db: None) -> User:
    return User.objects.create_user("ben")


@pytest.fixture
def carl(db: None) -> User:
    return User.objects.create_user("carl")


@pytest.fixture
def account(anna: User, ben: User) -> Account:
    """Anna's, shared with Ben."""
    account = Account(
        owner=anna,
        name="Work",
        from_name="Anna",
        from_address="anna@example.com",
        host="mail.example.com",
        username="anna",
    )
    account.secret = "swordfish"
    account.save()
    share(account, ben)
    return account


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def preview_seen_by(client: Client, message: Message) -> str:
    """Return the address of the preview that the message page contains for this client."""
    request = HttpRequest()
    request.session = client.session
    request.user = get_user(request)
    return preview_address(message, request)


def staff_member(*permissions: str, name: str = "staff") -> User:
    """Return a new member of staff with these permissions of the outbox, for every account."""
    user = User.objects.create_user(name, is_staff=True)
    names = {*permissions, "view_all_accounts"}
    given = Permission.objects.filter(content_type__app_label="outbox", codename__in=names)
    assert given.count() == len(names)
    user.user_permissions.set(given)
    return user


@pytest.fixture
def as_anna(anna: User) -> Client:
    return signed_in(anna)


@pytest.fixture
def as_ben(ben: User) -> Client:
    return signed_in(ben)


def typed(account: Account | None, **fields: str) -> dict[str, str]:
    """What a browser sends for a filled composer."""
    return {
        "account": str(account.pk) if account else "",
        "to": "jane@example.com",
        "cc": "",
        "bcc": "",
        "reply_to": "",
        "subject": "Figures",
        "importance": "normal",
        "text": "Hello",
    } | fields


@pytest.fixture
def draft(anna: User, account: Account) -> Message:
    """A draft of Anna's with an attachment."""
    draft = api.save_draft(
        anna,
        api.DraftFields(account=account, to="jane@example.com", subject="Figures", text="Hello"),
    )
    api.attach(draft, "figures.csv", "text/csv", b"1;2;3")
    return draft


@pytest.fixture
def mail(anna: User, account: Account) -> Message:
    """A queued message of Anna's to two recipients, with an attachment."""
    draft = api.save_draft(
        anna,
        api.DraftFields(
            account=account,
            to="jane@example.com, joe@example.org",
            subject="Figures",
            text="Hello",
        ),
    )
    api.attach(draft, "figures.csv", "text/csv", b"1;2;3")
    return api.send_draft(draft, actor=anna)
