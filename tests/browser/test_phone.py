"""A narrow screen: the folders are a menu under the name of the present one."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.browser.album import MEASURE
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.usefixtures("writer")
def test_folders_open_under_the_name_of_the_present_one(page: "Page") -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(page)
    drafts = page.get_by_role("link", name="Drafts")
    assert drafts.is_hidden()
    page.get_by_role("button", name="Folders: Outbox").click()
    drafts.click()
    page.wait_for_url("**/folders/drafts/")
    page.get_by_role("button", name="Folders: Drafts").press("Enter")
    page.get_by_role("link", name="Failed").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Failed").wait_for(state="hidden")
    overflow, _height = page.evaluate(MEASURE)
    assert overflow == 0


def test_folders_always_show_on_a_wide_screen(page: "Page", writer: User) -> None:
    sign_in(page)
    for address in (reverse("outbox:list"), reverse("outbox:contacts"), "/nowhere/"):
        page.goto(address)
        assert page.get_by_role("link", name="Drafts").is_visible()
        assert page.locator(".folder-button").is_hidden()
