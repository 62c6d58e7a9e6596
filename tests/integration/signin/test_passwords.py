"""Passwords have twelve characters, and each change is recorded and reported by email."""

import io

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from outbox.models import Account, AuditAction, AuditEntry, Message, Preferences
from tests.integration.signin.conftest import PASSWORD

NEW = "another long password"


@pytest.fixture
def signed_in_before(alice: User) -> User:
    alice.last_login = timezone.now()
    alice.save()
    return alice


def changes() -> list[str]:
    found = AuditEntry.objects.filter(action=AuditAction.PASSWORD_CHANGED)
    return list(found.values_list("target_name", flat=True))


def test_eleven_characters_are_too_few() -> None:
    with pytest.raises(ValidationError):
        validate_password("x7$kP2m!Qz9")
    validate_password("x7$kP2m!Qz9w")


def test_a_change_by_the_user_is_recorded_and_reported(
    client: Client, signed_in_before: User, app_account: Account
) -> None:
    client.force_login(signed_in_before)
    fields = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    response = client.post("/accounts/password_change/", fields, REMOTE_ADDR="203.0.113.7")
    assert response.status_code == 302
    assert changes() == ["alice"]
    message = Message.objects.get()
    text = message.source.read().decode()
    assert message.to_summary == "alice@example.com"
    assert "The password of your user was changed." in text
    assert "\r\nAuto-Submitted: auto-generated\r\n" in text
    assert "203.0.113.7" in text
    assert NEW not in text


def test_a_change_in_the_admin_is_reported(
    client: Client, root: User, signed_in_before: User, app_account: Account
) -> None:
    client.force_login(root)
    page = f"/admin/auth/user/{signed_in_before.pk}/password/"
    client.post(page, {"usable_password": "true", "password1": NEW, "password2": NEW})
    assert changes() == ["alice"]
    assert Message.objects.get().to_summary == "alice@example.com"
    assert AuditEntry.objects.filter(action=AuditAction.PASSWORD_CHANGED).get().actor_name == "root"


def test_the_notice_is_in_the_language_of_the_user(
    signed_in_before: User, app_account: Account
) -> None:
    Preferences.objects.create(user=signed_in_before, language="zh-hans")
    signed_in_before.set_password(NEW)
    signed_in_before.save()
    assert "您用户的密码已更改" in Message.objects.get().snippet


def test_a_new_user_gets_no_notice(db: None, app_account: Account) -> None:
    call_command(
        "createsuperuser",
        "--no-input",
        username="new",
        email="new@example.com",
        stdout=io.StringIO(),
    )
    user = User.objects.get(username="new")
    user.set_password(NEW)
    user.save()
    assert changes() == ["new"]
    assert not Message.objects.exists()


@pytest.mark.parametrize("address", ["", "not an address", "a@example.com\nBcc: b@example.com"])
def test_a_change_succeeds_without_a_valid_address(
    signed_in_before: User, app_account: Account, address: str
) -> None:
    User.objects.update(email=address)
    signed_in_before.refresh_from_db()
    signed_in_before.set_password(NEW)
    signed_in_before.save()
    assert User.objects.get(username="alice").check_password(NEW)
    assert not Message.objects.exists()


def test_a_change_succeeds_without_an_account_for_the_notice(signed_in_before: User) -> None:
    signed_in_before.set_password(NEW)
    signed_in_before.save()
    assert User.objects.get(username="alice").check_password(NEW)


def test_the_help_lists_each_rule_once(client: Client, alice: User) -> None:
    client.force_login(alice)
    page = client.get("/accounts/password_change/").content.decode()
    assert page.count("at least 12 characters") == 1
    assert "<li></li>" not in page


def test_the_former_address_learns_of_a_new_one(
    client: Client, root: User, signed_in_before: User, app_account: Account
) -> None:
    client.force_login(root)
    change = {
        "username": "alice",
        "email": "eve@example.com",
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    client.post(f"/admin/auth/user/{signed_in_before.pk}/change/", change)
    entry = AuditEntry.objects.get(action=AuditAction.USER_CHANGED)
    assert entry.details == {"fields": ["email", "is_staff"]}
    assert entry.actor_name == "root"
    assert Message.objects.get().to_summary == "alice@example.com"
