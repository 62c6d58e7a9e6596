"""Accounts are edited here; a password goes in and never comes out."""

from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from outbox.models import Account

LIST = "/admin/outbox/account/"


def form(**fields: Any) -> dict[str, Any]:
    plain = {
        "name": "shop",
        "from_address": "shop@example.com",
        "route": "smarthost",
        "host": "mail.example.com",
        "port": "587",
        "security": "starttls",
        "max_connections": "10",
        "on_uncertain": "resend",
        "resend_after": "04:00:00",
    }
    return {**plain, **fields}


def test_a_password_is_stored_encrypted(staff: Client, db: None) -> None:
    response = staff.post(f"{LIST}add/", form(new_password=" swordfish "))

    assert response.status_code == 302
    account = Account.objects.get()
    assert account.secret == " swordfish "
    assert "swordfish" not in account.secret_encrypted


def test_no_page_shows_it(staff: Client, account: Account) -> None:
    shown = staff.get(f"{LIST}{account.pk}/change/").content.decode()

    assert "swordfish" not in shown
    assert account.secret_encrypted not in shown
    assert "there is one" in shown


def test_a_refused_form_does_not_send_it_back(staff: Client, account: Account) -> None:
    bad = form(new_password="hunter2", from_address="nonsense")

    shown = staff.post(f"{LIST}{account.pk}/change/", bad).content.decode()

    assert "has no @" in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        pytest.param({}, "swordfish", id="left empty keeps it"),
        pytest.param({"new_password": "hunter2"}, "hunter2", id="a new one replaces it"),
        pytest.param({"forget_password": "on"}, "", id="it can be forgotten"),
    ],
)
def test_on_edit(fields: dict[str, str], secret: str, staff: Client, account: Account) -> None:
    assert staff.post(f"{LIST}{account.pk}/change/", form(**fields)).status_code == 302

    account.refresh_from_db()
    assert account.secret == secret


def test_a_private_server_is_refused_unless_allowed(
    staff: Client, settings: LazySettings, db: None
) -> None:
    settings.OUTBOX = {**settings.OUTBOX, "ALLOW_PRIVATE_HOSTS": False}

    shown = staff.post(f"{LIST}add/", form(host="127.0.0.1")).content.decode()

    assert "in a private network" in shown
    assert not Account.objects.exists()


def test_who_may_only_look_sees_no_password_field(onlooker: Client, account: Account) -> None:
    shown = onlooker.get(f"{LIST}{account.pk}/change/").content.decode()

    assert "mail.example.com" in shown
    assert "swordfish" not in shown
    assert 'type="password"' not in shown
