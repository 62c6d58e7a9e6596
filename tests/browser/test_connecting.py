"""Connect, consent, return, withdraw the consent and connect again, in both languages."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.delivery.engine import Engine
from outbox.models import Account, Preferences, Recipient, State
from outbox.testing.oauth import IdentityProvider
from outbox.testing.oauth_smtp import TokenMailServer
from tests.browser.writing import authenticate
from tests.integration.delivery.mail_client import queue
from tests.integration.oauth.lab import ANNA, provider_row

if TYPE_CHECKING:
    from playwright.sync_api import Page

LATER = 30_000  # milliseconds, on a busy machine


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.fixture
def server(provider: IdentityProvider) -> Iterator[TokenMailServer]:
    with TokenMailServer(provider) as running:
        yield running


WORDS = {
    "en": {
        "continue": "Continue",
        "connect": "Connect with Lab",
        "connected": "Connected with Lab",
        "tested": "The server accepts messages from this account.",
        "again": "Connect again",
        "waiting": "Messages are waiting until the account is connected again.",
        "valid": "The access is renewed by itself",
    },
    "zh-hans": {
        "continue": "继续",
        "connect": "使用 Lab 连接",
        "connected": "已使用 Lab 连接",
        "tested": "服务器接受此账户发送的邮件。",
        "again": "重新连接",
        "waiting": "在账户重新连接之前，邮件会等待。",
        "valid": "访问权限会自动续期",
    },
}


def deliver() -> None:
    """Deliver in a thread: this one has the event loop of Playwright."""
    thread = threading.Thread(target=Engine().drain)
    thread.start()
    thread.join(timeout=60)


@pytest.mark.usefixtures("connection_tester")
@pytest.mark.parametrize("language", WORDS)
def test_from_the_address_to_connecting_again(
    page: "Page",
    anna: User,
    provider: IdentityProvider,
    server: TokenMailServer,
    language: str,
) -> None:
    words = WORDS[language]
    Preferences.objects.create(user=anna, language=language)
    provider_row(provider, port=server.port)
    authenticate(page)

    page.goto("/accounts/add/")
    page.locator("#id_address").fill(ANNA)
    page.get_by_role("button", name=words["continue"]).click()
    page.get_by_role("button", name=words["connect"]).click()
    page.get_by_role("button", name="Allow").click(timeout=LATER)
    page.get_by_role("heading", name=words["connected"]).wait_for(timeout=LATER)
    page.get_by_text(words["tested"]).wait_for(timeout=LATER)
    assert page.locator("input[type=password]").count() == 0
    account = Account.objects.get()
    assert server.logins == [True]

    provider.revoke(ANNA)
    queue(account)
    deliver()
    assert Recipient.objects.get().state == State.DEFERRED
    page.goto("/preferences/")
    page.get_by_role("link", name=words["again"]).click()
    page.get_by_text(words["waiting"]).wait_for()
    page.get_by_role("button", name=words["again"]).click()
    page.get_by_role("button", name="Allow").click(timeout=LATER)
    page.get_by_text(words["valid"]).wait_for(timeout=LATER)

    Recipient.objects.update(next_attempt_at="2020-01-01T00:00Z")
    deliver()
    assert Recipient.objects.get().state == State.SENT
    assert len(server.messages) == 1


@pytest.mark.usefixtures("anna")
def test_a_denied_consent_returns_with_a_sentence(
    page: "Page", provider: IdentityProvider, server: TokenMailServer
) -> None:
    provider_row(provider, port=server.port)
    authenticate(page)
    page.goto("/accounts/add/")
    page.locator("#id_address").fill(ANNA)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Connect with Lab").click()
    page.get_by_role("button", name="Deny").click(timeout=LATER)
    page.get_by_text("Nothing was changed").wait_for(timeout=LATER)
    assert not Account.objects.exists()
