"""The page of a link to unsubscribe, for a reader without a user, cookies or scripts."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.models.secrets import make_token
from tests.browser import scenes
from tests.browser.album import CHINESE, open_album

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BOB = "bob@example.org"


@pytest.fixture
def link(anna: User) -> str:
    sender = scenes.account(anna, "Newsletter")
    token = make_token(f"{sender.pk} {BOB}", "outbox.unsubscribe")
    return reverse("outbox:unsubscribe", args=[token])


def test_a_reader_unsubscribes_and_subscribes_again(
    browser: "Browser", live_server: Any, link: str
) -> None:
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(link)
    page.get_by_text("Anna Lindqvist <anna@example.com>").wait_for()
    assert api.suppressed([BOB], "Newsletter") == {}
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert set(api.suppressed([BOB], "Newsletter")) == {BOB}
    assert context.cookies() == []
    page.get_by_role("button", name="Subscribe again").click()
    page.get_by_role("heading", name="You are subscribed again").wait_for()
    assert api.suppressed([BOB], "Newsletter") == {}
    context.close()


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_its_page_fits_and_is_accessible(browser: "Browser", live_server: Any, link: str) -> None:
    for locale, mark in (("en", ""), (CHINESE, "-chinese")):
        with open_album(browser, live_server.url, locale=locale) as album:
            album.visit(f"unsubscribe-question{mark}", link)
            album.page.locator("button[value=unsubscribe]").click()
            album.page.locator("button[value=subscribe]").wait_for()
            album.keep(f"unsubscribe-done{mark}")
            album.page.locator("button[value=subscribe]").click()
            album.page.locator("button").wait_for(state="detached")
            album.keep(f"unsubscribe-undone{mark}")
    with open_album(browser, live_server.url) as album:
        album.page.goto(reverse("outbox:unsubscribe", args=["x"]))
        album.keep("unsubscribe-invalid")
