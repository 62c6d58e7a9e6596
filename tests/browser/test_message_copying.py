"""Copying from the message page by mouse and keyboard, announced to screen readers."""

import time
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Account, Message, State
from tests.browser.scenes import mail
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def failed(writer: User) -> Message:
    return mail(Account.objects.get(owner=writer), "Figures", [("no@example.org", State.FAILED)])


def clipboard(page: "Page") -> str:
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def until_copied(page: "Page", text: str) -> None:
    deadline = time.monotonic() + 10
    while clipboard(page) != text:
        assert time.monotonic() < deadline, f"{clipboard(page)!r} was copied"
        page.wait_for_timeout(20)


def test_an_id_an_address_a_reply_and_the_link_are_copied(page: "Page", failed: Message) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page)
    page.goto(reverse("outbox:message", args=[failed.pk]))
    page.get_by_role("button", name="Copy Message-ID").click()
    page.get_by_role("status").filter(has_text="Copied.").wait_for()
    assert clipboard(page) == failed.message_id

    page.get_by_role("button", name="Copy no@example.org").focus()  # hidden until then
    page.keyboard.press("Enter")
    until_copied(page, "no@example.org")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    until_copied(page, f"550 {failed.recipients.get().reply_text}")

    page.get_by_role("button", name="Copy link").click()
    until_copied(page, page.url)


def test_where_there_is_no_clipboard_it_copies_all_the_same(page: "Page", failed: Message) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.add_init_script("navigator.clipboard.writeText = undefined")  # as over plain http
    sign_in(page)
    page.goto(reverse("outbox:message", args=[failed.pk]))
    button = page.get_by_role("button", name="Copy Message-ID")
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="Copied.").wait_for()
    assert clipboard(page) == failed.message_id
    assert button.evaluate("button => button === document.activeElement")


def test_the_timeline_of_one_recipient_is_chosen(page: "Page", writer: User) -> None:
    states = [("jane@example.com", State.SENT), ("no@example.org", State.FAILED)]
    both = mail(Account.objects.get(owner=writer), "Figures", states)
    sign_in(page)
    page.goto(reverse("outbox:message", args=[both.pk]))
    page.get_by_label("Show events for").select_option("no@example.org")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url(f"**?recipient={both.recipients.get(address='no@example.org').pk}*")
    assert page.get_by_label("Show events for").locator("[selected]").inner_text() == (
        "no@example.org"
    )
