"""Keyboard shortcuts, typed into a real browser."""

import re
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Message, Preferences, State
from tests.browser.scenes import account, mail
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def messages(writer: User) -> list[Message]:
    """Three sent messages, the newest first."""
    sender = account(writer, "Sales", "sales@example.com")
    return [
        mail(sender, subject, [(f"{subject.lower()}@example.org", State.SENT)])
        for subject in ("First", "Second", "Third")
    ][::-1]


def focused(page: "Page") -> str:
    text: str = page.evaluate("document.activeElement.innerText")
    return text.strip()


def open_sent(page: "Page") -> None:
    sign_in(page)
    page.goto(reverse("outbox:folder", args=["sent"]))
    page.get_by_role("link", name="Third").wait_for()


def test_list_is_walked_and_opened_with_keys(page: "Page", messages: list[Message]) -> None:
    open_sent(page)
    page.keyboard.press("j")
    assert focused(page) == "Third"
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == "First"
    page.keyboard.press("k")
    assert focused(page) == "Second"
    page.keyboard.press("o")
    page.wait_for_url(f"**{reverse('outbox:message', args=[messages[1].pk])}")
    page.keyboard.press("u")
    page.wait_for_url("**/folders/sent/")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{reverse('outbox:message', args=[messages[0].pk])}")


def test_message_is_served_and_forwarded_with_keys(page: "Page", messages: list[Message]) -> None:
    address = reverse("outbox:message", args=[messages[0].pk])
    sign_in(page)
    for key, subject in (("r", "Re: Third"), ("f", "Fwd: Third"), ("e", "Third")):
        page.goto(address)
        page.keyboard.press(key)
        page.wait_for_url(re.compile("/compose/"))
        assert page.get_by_label("Subject").input_value() == subject


@pytest.mark.usefixtures("messages")
def test_compose_search_and_help_have_keys(page: "Page") -> None:
    open_sent(page)
    page.keyboard.press("/")
    page.keyboard.type("subject:cjk?")
    assert page.get_by_role("searchbox").input_value() == "subject:cjk?"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("c")  # nothing happens behind a dialog
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("c")
    page.wait_for_url("**/compose/")
    page.locator("#id_to_entry").wait_for()
    page.locator("h1").click()
    page.keyboard.press("/")
    page.wait_for_url("**/search/")
    page.locator("#q:focus").wait_for()


@pytest.mark.usefixtures("messages")
def test_keys_are_letters_while_typing_and_with_modifiers(page: "Page") -> None:
    sign_in(page)
    page.goto(reverse("outbox:compose"))
    page.locator("#id_to_entry").wait_for()
    for label in ("Subject", "Text"):
        field = page.get_by_label(label, exact=True)
        field.fill("")
        field.press_sequentially("cjkorfux/?")
        assert field.input_value() == "cjkorfux/?"
    page.goto(reverse("outbox:folder", args=["sent"]))
    page.keyboard.press("Alt+c")
    page.keyboard.press("Control+j")
    assert page.url.endswith("/folders/sent/")
    assert focused(page) != "Third"


def test_keys_can_be_switched_off(page: "Page", writer: User, messages: list[Message]) -> None:
    sign_in(page)
    page.goto(reverse("outbox:preferences"))
    page.get_by_label("Keyboard shortcuts").uncheck()
    page.get_by_role("button", name="Save preferences").click()
    page.get_by_text("Preferences saved.").wait_for()
    assert not Preferences.objects.get(user=writer).uses_shortcuts
    page.goto(reverse("outbox:message", args=[messages[0].pk]))
    assert page.locator("[aria-keyshortcuts]").count() == 0
    for key in "cjr?/u":
        page.keyboard.press(key)
    assert page.url.endswith(reverse("outbox:message", args=[messages[0].pk]))
    assert page.locator("dialog[open]").count() == 0
    page.goto(reverse("outbox:shortcuts"))
    page.get_by_text("Single-key shortcuts are turned off.").wait_for()


@pytest.mark.usefixtures("messages")
def test_key_selects_the_message_in_focus(page: "Page") -> None:
    open_sent(page)
    page.goto(f"{reverse('outbox:search')}?q=in:sent")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator('[name="m"]:checked').count() == 1
    page.keyboard.press("x")
    assert page.locator('[name="m"]:checked').count() == 0
