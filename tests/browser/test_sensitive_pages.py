"""The page of a sensitive message before and after it was erased, and its rows in lists."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Message, Source, State
from tests.browser import scenes
from tests.browser.album import open_album

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_pages_of_a_sensitive_message_fit_and_are_accessible(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    shop = scenes.account(anna, "Shop")
    failed = scenes.mail(shop, "Code 4711", [("jane@example.com", State.FAILED)], "4711")
    waiting = scenes.mail(shop, "Code 4712", [("jane@example.com", State.DEFERRED)], "4712")
    Message.objects.update(is_sensitive=True, subject="", snippet="", origin="api")
    Source.objects.filter(message=failed).delete()
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("sensitive-erased", reverse("outbox:message", args=[failed.pk]))
        retry = album.page.locator("#action-retry")
        assert retry.is_disabled()
        assert "cannot be sent again" in album.page.locator("#obstacle").inner_text()
        album.visit("sensitive-waiting", reverse("outbox:message", args=[waiting.pk]))
        album.visit("sensitive-list", reverse("outbox:list"))
        album.visit("sensitive-question", reverse("outbox:retry", args=[failed.pk]))
