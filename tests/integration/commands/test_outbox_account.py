"""`outbox_account` lists and makes accounts, and takes over the settings of Django's backend."""

import io
import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from outbox import api
from outbox.exceptions import NoAccountError
from outbox.models import Account

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "pa55 \u2603 word"
SERVER: dict[str, Any] = {
    "host": "mail.example.com",
    "port": 587,
    "username": "shop",
    "password": PASSWORD,
    "use_tls": True,
}
OLD_NAMES = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}
HAS_MAILERS = django.VERSION >= (6, 1)

pytestmark = pytest.mark.django_db


def configure(settings: LazySettings, **options: Any) -> None:
    """Set what Django's own backend would send by, in the way of this Django."""
    settings.DEFAULT_FROM_EMAIL = "The Shop <shop@example.com>"
    if HAS_MAILERS:
        old = {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
        settings.MAILERS = {"default": {"BACKEND": "outbox.backend.EmailBackend"}, "old": old}
    else:
        for name, value in options.items():
            setattr(settings, OLD_NAMES[name], value)


def account(*arguments: str, **options: Any) -> str:
    out, err = StringIO(), StringIO()
    call_command("outbox_account", *arguments, stdout=out, stderr=err, **options)
    said = out.getvalue() + err.getvalue()
    assert PASSWORD not in said
    return said


def test_settings_become_the_default_account(settings: LazySettings) -> None:
    configure(settings, **SERVER)

    assert "created: mail.example.com:587, default for apps" in account("--from-settings")

    made = Account.objects.get()
    assert (made.name, made.from_name, made.from_address) == (
        "default",
        "The Shop",
        "shop@example.com",
    )
    assert (made.host, made.port, made.security) == ("mail.example.com", 587, "starttls")
    assert (made.username, made.secret) == ("shop", PASSWORD)
    assert made.is_app_default
    assert made.owner is None
    assert api.default_account() == made


def test_a_second_time_changes_nothing_and_a_new_password_that_alone(
    settings: LazySettings,
) -> None:
    configure(settings, **SERVER)
    account("--from-settings")
    before = Account.objects.values().get()

    assert "unchanged" in account("--from-settings")
    assert Account.objects.values().get() == before

    configure(settings, **SERVER | {"password": "another"})
    assert "changed" in account("--from-settings")
    changed = Account.objects.get()
    assert changed.secret == "another"
    assert changed.pk == before["id"]


def test_a_default_that_is_there_stays(settings: LazySettings) -> None:
    other = Account.objects.create(name="x", from_address="x@example.com", is_app_default=True)
    configure(settings, **SERVER)

    account("--from-settings")
    assert Account.objects.get(is_app_default=True) == other
    account("--from-settings", "--default")
    assert Account.objects.get(is_app_default=True).name == "default"


@pytest.mark.parametrize(
    ("options", "port", "security"),
    [
        pytest.param({"use_tls": True, "port": 2587}, 2587, "starttls", id="STARTTLS"),
        pytest.param({"use_ssl": True, "port": 465}, 465, "tls", id="TLS"),
        pytest.param({"use_ssl": True, "port": "465"}, 465, "tls", id="a port as text"),
        pytest.param({}, 25, "none", id="only a server"),
        pytest.param({"username": None, "password": None}, 25, "none", id="no login"),
    ],
)
def test_port_and_security_are_those_of_django(
    options: dict[str, Any], port: int, security: str, settings: LazySettings
) -> None:
    configure(settings, host="mail.example.com", **options)
    account("--from-settings")
    made = Account.objects.get()
    assert (made.port, made.security, made.username) == (port, security, "")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({}, "MAILERS" if HAS_MAILERS else "EMAIL_HOST", id="no server"),
        pytest.param(SERVER | {"use_ssl": True}, "exclude each other", id="both securities"),
        pytest.param(SERVER | {"port": 99_999}, "port", id="no port"),
    ],
)
def test_settings_that_describe_no_account_are_an_error(
    options: dict[str, Any], problem: str, settings: LazySettings
) -> None:
    configure(settings, **options)
    with pytest.raises(CommandError, match=problem):
        account("--from-settings")
    assert not Account.objects.exists()


def test_a_password_without_a_key_is_an_error(settings: LazySettings) -> None:
    configure(settings, **SERVER)
    settings.OUTBOX = {**settings.OUTBOX, "SECRET_KEYS": []}
    with pytest.raises(CommandError, match="SECRET_KEYS"):
        account("--from-settings")
    assert not Account.objects.exists()


def test_a_client_certificate_is_said_to_be_ignored(settings: LazySettings) -> None:
    configure(settings, **SERVER, ssl_certfile="/etc/client.pem")
    assert "ssl_certfile" in account("--from-settings").lower().replace("email_ssl", "ssl")


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS is new in Django 6.1")
def test_an_entry_of_mailers_may_be_named(settings: LazySettings) -> None:
    configure(settings, **SERVER)
    settings.MAILERS = settings.MAILERS | {"bulk": {"OPTIONS": {"host": "bulk.example.com"}}}
    account("bulk", "--from-settings", "--mailer", "bulk")
    assert Account.objects.get(name="bulk").host == "bulk.example.com"
    with pytest.raises(CommandError, match="unknown"):
        account("--from-settings", "--mailer", "unknown")


def test_an_account_is_made_and_changed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ("--host", "mail.example.com", "--username", "ann")
    monkeypatch.setenv("OUTBOX_ACCOUNT_PASSWORD", PASSWORD)
    assert "created" in account("work", "--from-address", "ann@example.com", *server)
    made = Account.objects.get(name="work")
    assert (made.secret, made.port, made.security) == (PASSWORD, 587, "starttls")
    assert "changed" in account("work", "--port", "2525", "--security", "none")
    made.refresh_from_db()
    assert (made.secret, made.port, made.security) == (PASSWORD, 2525, "none")

    monkeypatch.delenv("OUTBOX_ACCOUNT_PASSWORD")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}!\n"))
    account("work", "--password-stdin")
    made.refresh_from_db()
    assert made.secret == f"{PASSWORD}!"


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(tmp_path: Path) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "mailsite.settings",
        "DEBUG": "on",
        "ENV_FILE": "",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'site.sqlite3'}",
        "OUTBOX_SECRET_KEYS": "CwVuNGIWBsn0M1yH0nUeCGkUaD5UQWl1rJOXc0i9G7k=",
    }
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
    server = ["--from-address", "a@example.com", "--host", "localhost", "--username", "ann"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*manage, "outbox_account", "work", *server],
        cwd=ROOT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # without a terminal of its own, it reads the one it is given
    )
    os.close(theirs)
    said = b""
    while b"Password: " not in said:
        said += os.read(ours, 1000)
    os.write(ours, b"swordfish\n")
    while process.poll() is None or b"created" not in said:
        said += os.read(ours, 1000)
        if b"created" in said:
            process.wait(60)
    os.close(ours)
    assert process.returncode == 0, said
    assert b"swordfish" not in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["work"], "from_address", id="no address"),
        pytest.param(["work", "--from-address", "a@example.com"], "host", id="no server"),
        pytest.param(["work", "--from-address", "a", "--host", "h"], "from_address", id="no @"),
        pytest.param(["--host", "h"], "Add the name", id="no name"),
        pytest.param(["--from-settings", "--host", "h"], "exclude", id="both sources"),
    ],
)
def test_an_invalid_account_is_an_error(arguments: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        account(*arguments)
    assert not Account.objects.exists()


def test_an_account_of_a_person_is_left_alone(django_user_model: Any) -> None:
    owner = django_user_model.objects.create_user("anna")
    Account.objects.create(name="work", from_address="a@example.com", host="h", owner=owner)
    with pytest.raises(CommandError, match="belongs to a user"):
        account("work", "--host", "elsewhere.example.com")
    assert Account.objects.get().host == "h"


def test_it_lists_what_there_is() -> None:
    assert "There is no account." in account()
    Account.objects.create(
        name="work\x1b[2J", from_address="a@example.com", host="h", is_app_default=True
    )
    listed = account()
    assert "work\\x1b[2J <a@example.com>  h:587 starttls" in listed
    assert "default for apps" in listed


def test_without_an_account_the_error_names_the_command() -> None:
    with pytest.raises(NoAccountError, match="outbox_account --from-settings"):
        api.send(to="ann@example.com", subject="Hello", text=".")
