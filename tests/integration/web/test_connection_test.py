"""Test connection, against a real server on loopback: each step is shown, nothing is stored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from outbox.models import Account
from outbox.testing.mailserver import MailServer
from outbox.testing.offer import Offer
from tests.integration.web.test_accounts import described

TEST = reverse("outbox:account-add-test")
OFFER = Offer(
    extensions=("PIPELINING", "8BITMIME", "AUTH PLAIN LOGIN"),
    login=("anna", "pale fire"),
    login_required=True,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    """Takes any mail after a login."""
    with MailServer(tmp_path, offer=OFFER) as server:
        yield server


def reached(server: MailServer, **fields: str) -> dict[str, str]:
    return described(host=server.host, port=str(server.port), security="none") | fields


def test_it_shows_greeting_extensions_and_login(as_anna: Client, server: MailServer) -> None:
    page = as_anna.post(TEST, reached(server), HTTP_HX_REQUEST="true").content.decode()
    assert "Connected." in page
    assert "220" in page
    assert "PIPELINING" in page
    assert "AUTH" in page
    assert "<html" not in page


def test_it_stores_nothing_and_shows_no_password(as_anna: Client, server: MailServer) -> None:
    page = as_anna.post(TEST, reached(server)).content.decode()
    assert not Account.objects.exists()
    assert "pale fire" not in page
    assert "cGFsZSBmaXJl" not in page


def test_a_wrong_password_is_told_with_the_server_s_words(
    as_anna: Client, server: MailServer
) -> None:
    page = as_anna.post(TEST, reached(server, password="red herring")).content.decode()
    assert "Connection failed" in page
    assert "535" in page
    assert "red herring" not in page


def test_a_stored_password_is_used_when_none_is_typed(
    as_anna: Client, account: Account, server: MailServer
) -> None:
    account.secret = "pale fire"
    account.save()
    url = reverse("outbox:account-test", args=[account.pk])
    assert b"Connected." in as_anna.post(url, reached(server, password="")).content
    account.refresh_from_db()
    assert account.host == "mail.example.com"


@pytest.fixture
def saved(account: Account, server: MailServer) -> Account:
    """Anna's account as it is stored, on the running server."""
    account.host, account.port, account.security = server.host, server.port, "none"
    account.secret = "pale fire"
    account.save()
    return account


def test_first_page_tests_the_saved_account_at_once(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    page = as_anna.post(url, HTTP_HX_REQUEST="true").content.decode()
    assert "Connected." in page
    assert "Connection tested" in page
    assert "<html" not in page
    saved.refresh_from_db()
    assert saved.tested_at is not None


def test_first_page_shows_why_the_test_failed(as_anna: Client, saved: Account) -> None:
    saved.secret = "red herring"
    saved.save()
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    page = as_anna.post(url, HTTP_HX_REQUEST="true").content.decode()
    assert "Connection failed" in page
    assert "535" in page
    assert f'href="{reverse("outbox:account", args=[saved.pk])}"' in page
    saved.refresh_from_db()
    assert saved.tested_at is None


def test_first_page_tests_without_scripts_too(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    page = as_anna.post(url, follow=True).content.decode()
    assert "Connected. The server accepts messages from this account." in page
    saved.secret = "red herring"
    saved.save()
    assert "Connection failed" in as_anna.post(url).content.decode()


def test_account_of_another_person_is_not_tested(as_ben: Client, saved: Account) -> None:
    url = reverse("outbox:account-test-saved", args=[saved.pk])
    assert as_ben.post(url).status_code == 404


def test_passed_test_updates_the_title_of_the_page(as_anna: Client, saved: Account) -> None:
    url = reverse("outbox:account-test", args=[saved.pk])
    server = {"host": saved.host, "port": str(saved.port), "security": "none"}
    page = as_anna.post(url, described(**server) | {"password": ""}, HTTP_HX_REQUEST="true")
    assert 'id="tested" class="head-note" hx-swap-oob="true"' in page.content.decode()
    assert "Connection tested" in page.content.decode()


def test_title_says_that_tested_values_are_not_saved(
    as_anna: Client, account: Account, server: MailServer
) -> None:
    account.secret = "pale fire"
    account.save()
    url = reverse("outbox:account-test", args=[account.pk])
    page = as_anna.post(url, reached(server, password=""), HTTP_HX_REQUEST="true")
    assert "Connection tested. Save the account to keep these settings." in page.content.decode()


def test_it_needs_the_server_s_fields_only(as_anna: Client, server: MailServer) -> None:
    fields = reached(server, name="", from_address="")
    assert b"Connected." in as_anna.post(TEST, fields).content


def test_a_closed_port_is_told(as_anna: Client, server: MailServer) -> None:
    fields = reached(server, port="1")
    page = as_anna.post(TEST, fields).content.decode()
    assert "Connection failed" in page
    assert "refused" in page
