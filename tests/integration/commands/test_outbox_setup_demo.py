"""A demo site gets one user with a random password."""

import stat
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command

from outbox.models import Account, Security

pytestmark = pytest.mark.django_db


def set_up(tmp_path: Path, *, port: int = 2525, before: int | None = None) -> Path:
    login = tmp_path / "login.txt"
    call_command("outbox_setup_demo", login_file=login, smtp_port=port, smtp_port_before=before)
    return login


def password_in(login: Path) -> str:
    return login.read_text().split("password: ")[1].strip()


def test_it_makes_a_superuser_with_the_password_in_the_file(tmp_path: Path) -> None:
    login = set_up(tmp_path)
    user = authenticate(username="admin", password=password_in(login))
    assert user is not None
    assert user.is_superuser
    assert stat.S_IMODE(login.stat().st_mode) == 0o600


def test_two_sites_have_different_passwords(tmp_path: Path) -> None:
    first = password_in(set_up(tmp_path))
    get_user_model().objects.all().delete()
    assert password_in(set_up(tmp_path)) != first


def test_the_user_s_account_sends_through_the_local_mail_server(tmp_path: Path) -> None:
    set_up(tmp_path)
    account = Account.objects.get(owner=get_user_model().objects.get())
    assert (account.host, account.port) == ("127.0.0.1", 2525)
    assert account.security == Security.NONE


def test_apps_send_with_an_account_of_the_site(tmp_path: Path) -> None:
    set_up(tmp_path)
    account = Account.objects.get(is_app_default=True)
    assert (account.owner, account.host, account.port) == (None, "127.0.0.1", 2525)
    assert account.is_trusted


def test_a_user_of_that_name_is_left_alone(tmp_path: Path) -> None:
    get_user_model().objects.create_user("admin", password="their own")
    login = set_up(tmp_path)
    assert authenticate(username="admin", password="their own") is not None
    assert not login.exists()
    assert not Account.objects.exists()


def test_another_default_account_stays_the_default(tmp_path: Path) -> None:
    Account.objects.create(name="Theirs", from_address="a@example.org", is_app_default=True)
    set_up(tmp_path)
    assert Account.objects.get(is_app_default=True).name == "Theirs"


def test_accounts_follow_the_mail_server_to_its_new_port(tmp_path: Path) -> None:
    set_up(tmp_path)
    other = Account.objects.create(
        name="Elsewhere", from_address="a@example.org", host="mail.example.org", port=2525
    )
    set_up(tmp_path, port=2626, before=2525)
    assert Account.objects.get(name="Local mail server").port == 2626
    other.refresh_from_db()
    assert other.port == 2525
