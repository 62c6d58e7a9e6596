"""A password reset reveals no user, sends one email in fifteen minutes, and is limited."""

import datetime as dt
import re

import pytest
from django.conf import LazySettings, settings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext

from outbox.models import Account, AuditAction, AuditEntry, Message
from signin import resets, throttle
from signin.models import ResetRequest

PAGE = "/accounts/password_reset/"

pytestmark = pytest.mark.django_db


def request_reset(client: Client, address: str, network: str = "203.0.113.7") -> int:
    return client.post(PAGE, {"email": address}, REMOTE_ADDR=network).status_code


def pass_time(**duration: float) -> None:
    """Move the last email into the past."""
    ResetRequest.objects.update(handled_at=F("handled_at") - dt.timedelta(**duration))


def test_the_email_is_sent_by_a_worker_and_its_link_works(
    client: Client, alice: User, app_account: Account
) -> None:
    assert request_reset(client, "alice@example.com") == 302
    assert not Message.objects.exists()  # nothing was rendered before the response
    assert resets.send_requested() == 1
    message = Message.objects.get()
    found = re.search(rb"http://testserver(/accounts/reset/\S+)", message.source.read())
    assert found
    page = client.get(found[1].decode(), follow=True)
    assert b"new_password1" in page.content
    assert resets.send_requested() == 0


def test_a_known_and_an_unknown_address_cost_the_same(
    client: Client, alice: User, app_account: Account
) -> None:
    statements = []
    for address in ("alice@example.com", "unknown@example.com"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = client.post(PAGE, {"email": address})
        statements.append([re.sub(r"'.*?'|\d+", "?", each["sql"]) for each in queries])
        assert response["Location"] == "/accounts/password_reset/done/"
    assert statements[0] == statements[1]
    resets.send_requested()
    assert Message.objects.count() == 1


def test_an_address_gets_one_email_in_fifteen_minutes(
    client: Client, alice: User, app_account: Account
) -> None:
    for number in range(9):
        assert request_reset(client, "Alice@example.com", f"203.0.113.{number}") == 302
        resets.send_requested()
    assert Message.objects.count() == 1
    pass_time(minutes=16)
    request_reset(client, "alice@example.com")
    resets.send_requested()
    assert Message.objects.count() == 2


@pytest.mark.parametrize("similar", ["alice@ｅxample.com", "alice@eⓍample.com"])
def test_a_similar_address_of_no_user_stops_no_request(
    client: Client, alice: User, app_account: Account, similar: str
) -> None:
    request_reset(client, similar)
    resets.send_requested()
    request_reset(client, similar)
    request_reset(client, "alice@example.com")
    request_reset(client, similar)
    resets.send_requested()
    assert Message.objects.count() == 1


def test_other_spellings_of_an_address_get_no_further_email(
    client: Client, alice: User, app_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL finds a user by spellings that SQLite does not, such as ſ for s."""
    monkeypatch.setattr(PasswordResetForm, "get_users", lambda _form, _address: [alice])
    for spelling in ("alice@example.com", "alice@ExÄmple.com", "alice@exämple.com"):
        request_reset(client, spelling)
        resets.send_requested()
    assert Message.objects.count() == 1
    pass_time(minutes=16)
    for spelling in ("alice@exämple.com", "alice@ExÄmple.com", "alice@example.com"):
        request_reset(client, spelling)
        resets.send_requested()
    assert Message.objects.count() == 2


def test_a_second_request_does_not_redirect_an_open_one(
    client: Client, alice: User, app_account: Account, settings: LazySettings
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    for host in ("mail.example.com", "mail.example.com:6666"):
        client.post(PAGE, {"email": "alice@example.com"}, headers={"host": host})
    resets.send_requested()
    assert b"http://mail.example.com/accounts/reset/" in Message.objects.get().source.read()


def test_the_link_leads_to_the_site_whatever_host_was_requested(
    client: Client, alice: User, app_account: Account, settings: LazySettings
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    settings.OUTBOX = settings.OUTBOX | {"SITE_URL": "https://mail.example.com"}
    client.post(PAGE, {"email": "alice@example.com"}, headers={"host": "mail.example.com:6666"})
    resets.send_requested()
    assert b"https://mail.example.com/accounts/reset/" in Message.objects.get().source.read()


def test_requests_are_limited_by_network(client: Client, alice: User) -> None:
    free = throttle.RESETS_BY_NETWORK.free
    statuses = [request_reset(client, f"user{number}@example.com") for number in range(free)]
    assert statuses == [302] * free
    assert request_reset(client, "alice@example.com") == 429
    assert request_reset(client, "alice@example.com", "198.51.100.1") == 302


def test_a_request_is_recorded_without_the_address(client: Client, alice: User) -> None:
    request_reset(client, "alice@example.com")
    entry = AuditEntry.objects.get(action=AuditAction.PASSWORD_RESET_REQUESTED)
    assert "alice" not in str(entry.details) + entry.target_name


def test_a_link_is_valid_for_an_hour() -> None:
    assert settings.PASSWORD_RESET_TIMEOUT == 3600


def test_the_link_has_the_host_and_scheme_of_the_request(
    client: Client, alice: User, app_account: Account, settings: LazySettings
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    client.post(
        PAGE, {"email": "alice@example.com"}, secure=True, headers={"host": "mail.example.com"}
    )
    resets.send_requested()
    assert b"https://mail.example.com/accounts/reset/" in Message.objects.get().source.read()


@pytest.mark.parametrize("host", ["mail.example.com:8443", "mail.example.com"])
def test_the_link_has_the_port_of_the_site_even_if_a_proxy_removes_it(
    client: Client, alice: User, app_account: Account, settings: LazySettings, host: str
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://mail.example.com:8443"]
    headers = {"host": host, "origin": "https://mail.example.com:8443"}
    client.post(PAGE, {"email": "alice@example.com"}, secure=True, headers=headers)
    resets.send_requested()
    source = Message.objects.get().source.read()
    assert b"https://mail.example.com:8443/accounts/reset/" in source


@pytest.mark.parametrize("origin", ["https://mail.example.com:6666", "https://other.example.com"])
def test_the_link_leads_to_no_origin_but_the_sites(
    client: Client, alice: User, app_account: Account, settings: LazySettings, origin: str
) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://other.example.com"]
    headers = {"host": "mail.example.com", "origin": origin}
    client.post(PAGE, {"email": "alice@example.com"}, secure=True, headers=headers)
    resets.send_requested()
    assert b"https://mail.example.com/accounts/reset/" in Message.objects.get().source.read()


def test_old_requests_are_deleted(client: Client, alice: User) -> None:
    request_reset(client, "alice@example.com")
    resets.send_requested()
    resets.remove_old()
    assert ResetRequest.objects.count() == 1
    pass_time(days=2)
    resets.remove_old()
    assert not ResetRequest.objects.exists()


@pytest.mark.usefixtures("outbox_database")
def test_requests_are_stored_in_the_database_of_the_users() -> None:
    resets.request_reset("eve@example.com", origin="https://mail.example.com")
    assert resets.send_requested() == 1
    assert ResetRequest.objects.using("default").get().handled_at is not None
    resets.remove_old()
