"""The focus when the composer opens and after sending, and the size of the editor."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from outbox.models import Account, Preferences, State
from tests.browser.scenes import mail
from tests.browser.writing import sign_in, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def reply_to_a_message(page: "Page", html: str = "") -> None:
    original = mail(Account.objects.get(), "Plan", [("jane@example.com", State.SENT)], html=html)
    sign_in(page)
    page.goto(f"/messages/{original.pk}/")
    page.get_by_role("button", name="Reply", exact=True).click()


def test_a_new_message_is_written_without_touching_the_mouse(
    page: "Page", settings: Settings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"UNDO_PERIOD": 60}
    write_new(page)
    page.locator("#id_to_entry:focus").wait_for()
    page.keyboard.type("jane@example.com")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("By keyboard")
    page.locator("#id_subject:focus").wait_for()
    page.get_by_label("Text").focus()
    page.keyboard.type("Hello")
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="By keyboard").wait_for()
    page.locator("#action-undo:focus").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Draft: By keyboard").wait_for()


def test_a_reply_begins_above_the_quotation(page: "Page") -> None:
    reply_to_a_message(page)
    page.locator("#id_text:focus").wait_for()
    page.keyboard.type("My reply")
    assert page.locator("#id_text").input_value().startswith("My reply\n\nOn ")


def test_a_formatted_reply_begins_above_the_quotation(page: "Page") -> None:
    reply_to_a_message(page, html="<p>The <b>plan</b></p>")
    page.locator(".rich:focus").wait_for()
    page.keyboard.type("My reply")
    assert page.locator(".rich p").first.inner_text() == "My reply"


@pytest.mark.parametrize("writes_rich", [False, True])
def test_the_editor_has_the_height_and_width_of_the_page(
    page: "Page", anna: User, *, writes_rich: bool
) -> None:
    Preferences.objects.create(user=anna, writes_rich=writes_rich)
    page.set_viewport_size({"width": 1280, "height": 900})
    write_new(page)
    editor = page.locator(".rich" if writes_rich else "#id_text")
    box = editor.bounding_box()
    assert box is not None
    assert box["height"] > 450
    assert box["width"] > 950
    send = page.locator("#send").bounding_box()
    assert send is not None
    assert send["y"] + send["height"] < 900
    editor.focus()
    page.keyboard.insert_text("A line\n" * 100)
    assert page.locator("#send").evaluate("send => send.getBoundingClientRect().bottom") < 900
