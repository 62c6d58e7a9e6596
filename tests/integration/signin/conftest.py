"""Alice, who has a password and an address, and a superuser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from outbox.models import Account
from tests.email_backend import use_backend

PASSWORD = "correct horse battery staple"
LOGIN = "/accounts/login/"
ADMIN_LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def _outbox_as_backend(settings: LazySettings) -> None:
    """A test run puts its own backend in place of the site's."""
    use_backend(settings)


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.com", PASSWORD)


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD)


@pytest.fixture
def app_account(db: None) -> Account:
    """The account that sends the emails of the site."""
    return Account.objects.create(
        name="site", from_address="site@example.com", host="mail.example.com", is_app_default=True
    )


@pytest.fixture
def outbox_database(db: None, settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    """Another database of the outbox, which has none of the tables of the sign-in."""
    default = connections.databases["default"]
    name = tmp_path / "mail.sqlite3"  # Django never closes a database in memory
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {}}
    connections.databases["mail"] = default | engine
    settings.OUTBOX = settings.OUTBOX | {"DATABASE": "mail"}
    connections["mail"].connect()  # a test may not open connections that it did not declare
    yield
    connections["mail"].close()
    del connections["mail"], connections.databases["mail"]


def sign_in(
    client: Client,
    name: str,
    password: str = PASSWORD,
    *,
    page: str = LOGIN,
    address: str = "203.0.113.7",
) -> int:
    """Post the sign-in page and return the status: 302 for success."""
    fields = {"username": name, "password": password}
    return client.post(page, fields, REMOTE_ADDR=address).status_code


def is_signed_in(client: Client) -> bool:
    return client.get("/preferences/").status_code == 200
