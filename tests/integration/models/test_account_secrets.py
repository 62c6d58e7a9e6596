"""A stored password belongs to one server and username, whatever changes the row."""

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from outbox import api
from outbox.models import Account, Webhook
from outbox.models.secrets import SecretUnreadableError, is_bound

pytestmark = pytest.mark.django_db
OTHERS = [
    {"host": "mail.attacker.example"},
    {"port": 2525},
    {"security": "tls"},
    {"username": "bob"},
]


@pytest.fixture
def account() -> Account:
    made = Account(
        name="Work", from_address="ann@example.com", host="mail.example.com", username="ann"
    )
    made.secret = "swordfish"
    made.save()
    return Account.objects.get()


@pytest.mark.parametrize("change", OTHERS)
def test_another_server_makes_the_password_void(account: Account, change: dict[str, str]) -> None:
    for name, value in change.items():
        setattr(account, name, value)
    with pytest.raises(SecretUnreadableError, match="enter the password again"):
        _ = account.secret

    account.save()
    assert Account.objects.get().secret_encrypted == ""


@pytest.mark.parametrize("change", OTHERS)
def test_a_change_past_the_model_makes_it_void_too(
    account: Account, change: dict[str, str]
) -> None:
    Account.objects.update(**change)
    with pytest.raises(SecretUnreadableError):
        _ = Account.objects.get().secret
    account.refresh_from_db()
    with pytest.raises(SecretUnreadableError):
        _ = account.secret


def test_a_change_of_single_fields_erases_it(account: Account) -> None:
    account.host = "mail.attacker.example"
    account.save(update_fields=["host"])
    assert Account.objects.get().secret_encrypted == ""


def test_other_changes_keep_it(account: Account) -> None:
    account.name, account.from_address = "Home", "ann@example.org"
    account.save()
    assert Account.objects.get().secret == "swordfish"
    account.port = 25
    account.save(update_fields=["name"])
    assert Account.objects.get().secret == "swordfish"


def test_a_password_entered_with_the_new_server_is_kept(account: Account) -> None:
    account.secret = "pale fire"
    account.host = "mail.example.org"
    assert account.secret == "pale fire"
    account.save()
    assert Account.objects.get().secret == "pale fire"


def test_a_password_cannot_be_copied_to_another_account(account: Account) -> None:
    Account.objects.create(
        name="Mine",
        from_address="eve@example.com",
        host="mail.attacker.example",
        username="eve",
        secret_encrypted=account.secret_encrypted,
    )
    with pytest.raises(SecretUnreadableError):
        _ = Account.objects.get(name="Mine").secret


def test_a_password_and_a_webhook_s_secret_cannot_be_exchanged(account: Account) -> None:
    hook = Webhook(
        name="hook", url="https://example.com/", secret_encrypted=account.secret_encrypted
    )
    with pytest.raises(SecretUnreadableError):
        _ = hook.secret


def test_a_password_of_an_earlier_version_is_read_and_bound(
    account: Account, settings: LazySettings
) -> None:
    key = settings.OUTBOX["SECRET_KEYS"]
    stored = Fernet(key if isinstance(key, str) else key[0]).encrypt(b"old one").decode()
    Account.objects.update(secret_encrypted=stored)
    account = Account.objects.get()
    assert account.secret == "old one"
    account.host = "mail.attacker.example"
    with pytest.raises(SecretUnreadableError):
        _ = account.secret

    call_command("outbox_rotate_secrets")
    account.refresh_from_db()
    assert is_bound(account.secret_encrypted)
    assert account.secret == "old one"
    Account.objects.update(host="mail.attacker.example")
    with pytest.raises(SecretUnreadableError):
        _ = Account.objects.get().secret


def test_the_connection_test_does_not_use_a_void_password(account: Account) -> None:
    account.host = "127.0.0.1"
    report = api.probe(account)
    assert not report.ok
    assert [step.name for step in report.steps] == ["auth"]  # no connection was opened


def test_the_command_asks_for_the_password_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OUTBOX_ACCOUNT_PASSWORD", raising=False)
    with pytest.raises(CommandError, match="enter it again"):
        call_command("outbox_account", "Work", host="mail.example.org")
    account.refresh_from_db()
    assert (account.host, account.secret) == ("mail.example.com", "swordfish")
    monkeypatch.setenv("OUTBOX_ACCOUNT_PASSWORD", "pale fire")
    call_command("outbox_account", "Work", host="mail.example.org")
    account.refresh_from_db()
    assert (account.host, account.secret) == ("mail.example.org", "pale fire")
