"""Accounts: add, change, share, and a password that never comes back."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from outbox.models import Account
from tests.integration.web.conftest import signed_in

ADD = reverse("outbox:account-add")


def described(**fields: str) -> dict[str, str]:
    """What a browser sends for a filled form."""
    return {
        "name": "Home",
        "from_name": "Anna",
        "from_address": "anna@example.org",
        "reply_to": "",
        "host": "smtp.example.org",
        "port": "465",
        "security": "tls",
        "username": "anna",
        "password": "pale fire",
        "max_connections": "4",
        "per_minute": "",
        "per_day": "",
        "on_uncertain": "hold",
        "shared_with": "",
    } | fields


def test_an_account_is_added_and_its_password_is_encrypted(as_anna: Client, anna: User) -> None:
    answer = as_anna.post(ADD, described())
    account = Account.objects.get()
    assert answer["Location"] == reverse("outbox:account", args=[account.pk])
    assert account.owner == anna
    assert account.secret == "pale fire"
    assert "pale fire" not in account.secret_encrypted


def test_the_password_is_never_sent_back(as_anna: Client, account: Account) -> None:
    url = reverse("outbox:account", args=[account.pk])
    assert b"swordfish" not in as_anna.get(url).content
    wrong = as_anna.post(url, described(password="typed just now", host="no host"))
    assert wrong.status_code == 422
    assert b"typed just now" not in wrong.content
    assert b"swordfish" not in wrong.content


@pytest.mark.parametrize(
    ("username", "password", "kept"),
    [
        ("anna", "", "swordfish"),  # left empty: keep it
        ("anna", "new one", "new one"),
        ("anna", " spaces count ", " spaces count "),
        ("", "", ""),  # no login: no reason to keep a password
    ],
)
def test_an_empty_password_keeps_the_stored_one(
    as_anna: Client, account: Account, username: str, password: str, kept: str
) -> None:
    url = reverse("outbox:account", args=[account.pk])
    as_anna.post(url, described(username=username, password=password))
    assert Account.objects.get().secret == kept


BAD_INPUT = [
    ("from_address", "anna@"),
    ("from_address", ""),
    ("reply_to", "not an address"),
    ("host", ""),
    ("host", "smtp.example.org:25"),
    ("port", "0"),
    ("port", "70000"),
    ("security", "none of these"),
    ("max_connections", "0"),
    ("on_uncertain", "guess"),
    ("shared_with", "ben, nobody-here"),
    ("name", ""),
]


@pytest.mark.parametrize(("field", "value"), BAD_INPUT)
def test_bad_input_is_told_at_its_field(as_anna: Client, ben: User, field: str, value: str) -> None:
    answer = as_anna.post(ADD, described(from_name="Anna L.") | {field: value})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert "Anna L." in answer.content.decode()
    assert not Account.objects.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.5", "[::1]", "db.internal"])
def test_an_inner_host_is_refused_at_its_field(
    as_anna: Client, settings: Settings, host: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    answer = as_anna.post(ADD, described(host=host))
    assert "private network" in str(answer.context["form"].errors["host"])
    test = as_anna.post(reverse("outbox:account-add-test"), described(host=host))
    assert b"private network" in test.content
    assert not test.context["report"]


def test_it_can_be_shared_by_name_and_taken_back(
    as_anna: Client, account: Account, ben: User, carl: User
) -> None:
    url = reverse("outbox:account", args=[account.pk])
    assert b'value="ben"' in as_anna.get(url).content
    as_anna.post(url, described(shared_with="carl, anna"))
    assert list(account.users.all()) == [carl]


def test_it_can_be_shared_with_a_group_one_is_in(as_anna: Client, anna: User, carl: User) -> None:
    sales = Group.objects.create(name="Sales")
    other = Group.objects.create(name="Other")
    anna.groups.add(sales)
    carl.groups.add(sales, other)
    refused = as_anna.post(ADD, described() | {"groups": str(other.pk)})
    assert list(refused.context["form"].errors) == ["groups"]
    as_anna.post(ADD, described() | {"groups": str(sales.pk)})
    assert list(Account.objects.usable_by(carl)) == [Account.objects.get()]


def test_only_staff_may_make_an_account_the_apps_default(as_anna: Client, anna: User) -> None:
    as_anna.post(ADD, described() | {"is_app_default": "on"})
    assert not Account.objects.get().is_app_default
    anna.is_staff = True
    anna.save()
    as_anna.post(ADD, described() | {"is_app_default": "on"})
    assert Account.objects.filter(is_app_default=True).count() == 1
    second = as_anna.post(ADD, described() | {"is_app_default": "on"})
    assert list(second.context["form"].errors) == ["is_app_default"]


def test_the_list_tells_own_from_given(account: Account, anna: User, ben: User) -> None:
    url = reverse("outbox:account", args=[account.pk]).encode()
    assert url in signed_in(anna).get(reverse("outbox:accounts")).content
    given = signed_in(ben).get(reverse("outbox:accounts")).content
    assert url not in given
    assert b"shared by anna" in given


def test_without_an_account_the_list_says_what_to_do(as_ben: Client) -> None:
    assert b"No account yet" in as_ben.get(reverse("outbox:accounts")).content
