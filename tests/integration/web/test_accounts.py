"""Accounts: add, change, share, and a password that never comes back."""

import socket

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from outbox.models import Account, AuditEntry, ConnectionTest
from outbox.web.recent_sign_in import AUTHENTICATED_AT
from tests.integration.web.conftest import signed_in, staff_member

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


SAME_SERVER = {
    "host": "mail.example.com",
    "port": "587",
    "security": "starttls",
    "username": "anna",
}  # of Anna's stored account


def test_an_account_is_added_and_its_password_is_encrypted(as_anna: Client, anna: User) -> None:
    response = as_anna.post(ADD, described())
    account = Account.objects.get()
    assert response["Location"] == reverse("outbox:account", args=[account.pk])
    assert account.owner == anna
    assert account.secret == "pale fire"
    assert "pale fire" not in account.secret_encrypted


def test_bounces_have_an_address_and_a_choice(as_anna: Client) -> None:
    as_anna.post(ADD, described(return_path="bounces@example.org", suppress_bounces="true"))
    account = Account.objects.get()
    assert (account.return_path, account.suppress_bounces) == ("bounces@example.org", True)
    page = as_anna.get(reverse("outbox:account", args=[account.pk])).content.decode()
    assert "bounces@example.org" in page
    assert '<option value="true" selected' in page


def test_the_return_path_has_a_domain_that_staff_allow(as_anna: Client, settings: Settings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"SENDER_DOMAINS": ["example.org"]}
    response = as_anna.post(ADD, described(return_path="bounces@elsewhere.example"))
    assert list(response.context["form"].errors) == ["return_path"]


def test_changes_are_recorded_and_need_a_recent_sign_in(as_anna: Client) -> None:
    as_anna.post(ADD, described())
    account = Account.objects.get()
    url = reverse("outbox:account", args=[account.pk])
    as_anna.post(url, described(port="587", password="another"))
    session = as_anna.session
    session[AUTHENTICATED_AT] = 0
    session.save()
    assert as_anna.post(url, described(port="25", password="x")).status_code == 403
    remove = reverse("outbox:account-delete", args=[account.pk])
    assert as_anna.post(remove).status_code == 403
    account.refresh_from_db()
    assert account.port == 587
    session[AUTHENTICATED_AT] = timezone.now().timestamp()
    session.save()
    as_anna.post(remove)
    changes = AuditEntry.objects.filter(action__startswith="account_")
    recorded = [(one.action, one.details) for one in changes.order_by("pk")]
    assert [action for action, _ in recorded] == [
        "account_added",
        "account_changed",
        "account_removed",
    ]
    assert {"port", "password"} <= set(recorded[1][1]["fields"])
    assert "another" not in str(recorded)


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
    as_anna.post(url, described(**SAME_SERVER | {"username": username}, password=password))
    assert Account.objects.get().secret == kept


OTHER_SERVERS = [
    {"host": "mail.attacker.example"},
    {"port": "2525"},
    {"security": "tls"},
    {"username": "admin"},
]


@pytest.mark.parametrize("changed", OTHER_SERVERS)
def test_the_password_is_entered_again_for_another_server(
    as_anna: Client, account: Account, changed: dict[str, str]
) -> None:
    url = reverse("outbox:account", args=[account.pk])
    refused = as_anna.post(url, described(**SAME_SERVER | changed, password=""))
    assert list(refused.context["form"].errors) == ["password"]
    account.refresh_from_db()
    assert account.secret == "swordfish"
    as_anna.post(url, described(**SAME_SERVER | changed, password="another"))
    account.refresh_from_db()
    assert account.secret == "another"


def test_the_stored_password_is_not_sent_to_another_server(
    as_anna: Client, account: Account
) -> None:
    test = reverse("outbox:account-test", args=[account.pk])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = {"host": "127.0.0.1", "port": str(listener.getsockname()[1]), "security": "none"}
        page = as_anna.post(test, described(**where, password="")).content.decode()
        assert "Enter the password again" in page
        assert not ConnectionTest.objects.exists()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_another_server_is_not_trusted(as_anna: Client, account: Account) -> None:
    Account.objects.update(is_trusted=True)
    url = reverse("outbox:account", args=[account.pk])
    as_anna.post(url, described(**SAME_SERVER, password=""))
    account.refresh_from_db()
    assert account.is_trusted
    as_anna.post(url, described(**SAME_SERVER | {"host": "10.0.0.1"}, password="x"))
    account.refresh_from_db()
    assert not account.is_trusted


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
    ("max_connections", "101"),  # above the site's limit
    ("on_uncertain", "guess"),
    ("return_path", "bounces"),
    ("return_path", "bounces+x@example.org"),
    ("return_path", "b\u00fccher@example.org"),
    ("return_path", f"{'b' * 40}@example.org"),  # no room for a token
    ("name", ""),
]


@pytest.mark.parametrize(("field", "value"), BAD_INPUT)
def test_bad_input_is_shown_at_its_field(
    as_anna: Client, ben: User, field: str, value: str
) -> None:
    response = as_anna.post(ADD, described(from_name="Anna L.") | {field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert "Anna L." in response.content.decode()
    assert not Account.objects.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.5", "[::1]", "db.internal"])
def test_an_inner_host_is_refused_at_its_field(
    as_anna: Client, settings: Settings, host: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    response = as_anna.post(ADD, described(host=host))
    assert "private network" in str(response.context["form"].errors["host"])
    test = as_anna.post(reverse("outbox:account-add-test"), described(host=host))
    assert b"private network" in test.content
    assert not ConnectionTest.objects.exists()


@pytest.mark.parametrize("port", ["22", "6379", "25000"])
def test_only_ports_of_mail_servers_are_used(
    as_anna: Client, account: Account, settings: Settings, port: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"ALLOW_PRIVATE_HOSTS": False}
    test = as_anna.post(reverse("outbox:account-add-test"), described(port=port))
    assert "Enter one of these ports: 25, 465, 587, 2525." in test.content.decode()
    assert not ConnectionTest.objects.exists()
    refused = as_anna.post(ADD, described(port=port))
    assert list(refused.context["form"].errors) == ["port"]
    settings.OUTBOX = settings.OUTBOX | {"ACCOUNT_PORTS": ["25", port]}
    assert as_anna.post(ADD, described(port=port)).status_code == 302
    Account.objects.filter(pk=account.pk).update(port=9025)  # stored before there was a rule
    url = reverse("outbox:account", args=[account.pk])
    stored = SAME_SERVER | {"port": "9025"}
    assert as_anna.post(url, described(**stored, password="new")).status_code == 302


def test_it_can_be_shared_by_name_and_taken_back(
    as_anna: Client, account: Account, ben: User, carl: User
) -> None:
    url = reverse("outbox:account", args=[account.pk])
    assert b'value="ben"' in as_anna.get(url).content
    as_anna.post(url, described(**SAME_SERVER, shared_with="carl, anna"))
    assert list(account.users.all()) == [carl]
    assert not Account.objects.usable_by(ben).exists()


def test_it_can_be_shared_with_a_group_one_is_in(as_anna: Client, anna: User, carl: User) -> None:
    sales = Group.objects.create(name="Sales")
    other = Group.objects.create(name="Other")
    anna.groups.add(sales)
    carl.groups.add(sales, other)
    refused = as_anna.post(ADD, described() | {"groups": str(other.pk)})
    assert list(refused.context["form"].errors) == ["groups"]
    as_anna.post(ADD, described() | {"groups": str(sales.pk)})
    assert list(Account.objects.inviting(carl)) == [Account.objects.get()]


@pytest.mark.parametrize("permission", [None, "change_account"])
@pytest.mark.django_db
def test_no_user_makes_an_own_account_the_default_for_apps(permission: str | None) -> None:
    staff = staff_member(*([permission] if permission else []))
    signed_in(staff).post(ADD, described() | {"is_app_default": "on"})
    account = Account.objects.get()
    url = reverse("outbox:account", args=[account.pk])
    signed_in(staff).post(url, described() | {"is_app_default": "on"})
    account.refresh_from_db()
    assert not account.is_app_default
    assert b"is_app_default" not in signed_in(staff).get(url).content


def test_the_list_distinguishes_own_and_shared_accounts(
    account: Account, anna: User, ben: User
) -> None:
    url = f'href="{reverse("outbox:account", args=[account.pk])}"'.encode()
    assert url in signed_in(anna).get(reverse("outbox:accounts")).content
    given = signed_in(ben).get(reverse("outbox:accounts")).content
    assert url not in given
    assert b"shared by anna" in given


def test_without_an_account_the_list_says_what_to_do(as_ben: Client) -> None:
    assert b"No accounts yet" in as_ben.get(reverse("outbox:accounts")).content
