"""The message page in a browser: what one sees of the mail, and what one does with it."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import State
from tests.browser.scenes import LETTER, account, mail

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse"


@pytest.fixture
def anna(transactional_db: None) -> User:
    return User.objects.create_user("anna", password=PASSWORD)


def sign_in(page: "Page") -> None:
    page.goto("/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Outbox").wait_for()


def test_a_letter_is_seen_as_its_reader_sees_it(page: "Page", anna: User) -> None:
    letter = mail(account(anna), "News", [("club@example.com", State.SENT)], html=LETTER)
    sign_in(page)
    page.goto(reverse("outbox:message", args=[letter.pk]))
    light = page.locator("#preview-light")
    page.frame_locator("#preview-light").get_by_role("heading", name="News").wait_for()
    assert page.get_by_text("pictures.example.com").is_visible()

    page.get_by_label("Phone").check()
    box = light.bounding_box()
    assert box is not None
    assert box["width"] < 400

    page.get_by_label("Dark").check()
    dark = page.frame_locator("#preview-dark").locator("html")
    dark.wait_for()
    assert light.is_hidden()
    assert dark.evaluate("html => getComputedStyle(html).color") == "rgb(255, 255, 255)"

    page.get_by_role("link", name="HTML").click()
    page.get_by_text('<h1 style="color:').wait_for()
    page.get_by_role("link", name="Preview").click()
    page.frame_locator("#preview-light").get_by_role("heading", name="News").wait_for()
