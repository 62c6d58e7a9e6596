"""The session ends while a message is written: no text is lost or shown to another user."""

import re
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from outbox.models import Draft, Message
from tests.browser.scenes import account
from tests.browser.writing import PASSWORD, saved, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page

WORDS = "Before, and an hour of work"
OFFER = "#restore"
STORED = "Object.entries(localStorage).filter(([key]) => key.startsWith('outbox:unsaved:'))"
HOURS_LATER = """(hours) => {
    for (const [key, value] of Object.entries(localStorage)) {
        if (!key.startsWith("outbox:unsaved:")) continue;
        const entry = JSON.parse(value);
        localStorage.setItem(key, JSON.stringify({ ...entry, at: entry.at - hours * 3_600_000 }));
    }
}"""


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def write_and_lose_the_session(page: "Page", *, is_draft: bool) -> None:
    write_new(page)
    page.get_by_label("To", exact=True).click()
    page.keyboard.type("jane@example.com")
    page.keyboard.press("Enter")
    page.get_by_label("Text", exact=True).click()
    if is_draft:
        with saved(page, "Before"):
            page.keyboard.type("Before")
    else:
        page.route(re.compile("/save/$"), lambda route: route.abort())
        page.keyboard.type("Before")
    Session.objects.all().delete()
    page.unroute_all()
    page.keyboard.type(", and an hour of work")


def press_send(page: "Page") -> None:
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").filter(has_text="you were signed out").wait_for()


def sign_in_as(page: "Page", name: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def stored(page: "Page") -> list[list[str]]:
    entries: list[list[str]] = page.evaluate(STORED)
    return entries


@pytest.mark.parametrize("is_draft", [True, False], ids=["a draft", "a new message"])
def test_send_keeps_every_word_and_offers_them_after_signing_in(
    page: "Page", *, is_draft: bool
) -> None:
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    write_and_lose_the_session(page, is_draft=is_draft)
    press_send(page)
    assert page.get_by_label("Text", exact=True).input_value() == WORDS
    assert len(stored(page)) == 1
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "anna")
    page.locator(OFFER).get_by_text(WORDS).wait_for()
    page.get_by_role("button", name="Restore").click()
    page.get_by_text("Draft saved.").wait_for()
    assert page.get_by_label("Text", exact=True).input_value() == WORDS
    assert page.locator(".address-chip").inner_text().startswith("jane@example.com")
    assert stored(page) == []
    assert page.locator(OFFER).is_hidden()
    assert Message.objects.get().draft.text == WORDS
    assert not [address for address in addresses if "hour" in address or "jane" in address]


def test_another_user_of_the_browser_is_not_offered_them(page: "Page") -> None:
    ben = User.objects.create_user("ben", password=PASSWORD)
    account(ben)
    write_and_lose_the_session(page, is_draft=False)
    press_send(page)
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "ben")
    page.locator("#id_to_entry").wait_for()
    page.locator("#saved").wait_for(state="attached")
    assert page.locator(OFFER).is_hidden()
    assert "hour of work" not in page.content()
    page.get_by_role("button", name="Menu of ben").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").or_(page.get_by_role("link", name="Sign in")).first.wait_for()
    page.goto("/compose/")
    sign_in_as(page, "anna")
    page.locator(OFFER).get_by_text(WORDS).wait_for()  # ben's sign-out forgot only his own
    assert not Draft.objects.exists()


def test_an_open_page_saves_nothing_as_another_user(page: "Page") -> None:
    ben = User.objects.create_user("ben", password=PASSWORD)
    account(ben)
    write_and_lose_the_session(page, is_draft=False)
    other = page.context.new_page()
    other.goto("/")
    sign_in_as(other, "ben")
    other.get_by_role("heading", name="Outbox").wait_for()
    page.keyboard.type("!")
    page.get_by_role("alert").filter(has_text="another user is signed in").wait_for()
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#send:not([aria-busy])").wait_for()
    assert page.get_by_label("Text", exact=True).input_value() == WORDS + "!"
    assert not Message.objects.exists()


def test_signing_out_deletes_them(page: "Page") -> None:
    write_and_lose_the_session(page, is_draft=False)
    press_send(page)
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "anna")
    page.locator(OFFER).get_by_text(WORDS).wait_for()
    page.get_by_role("button", name="Menu of anna").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Username").or_(page.get_by_role("link", name="Sign in")).first.wait_for()
    assert stored(page) == []


def test_they_are_deleted_after_a_day(page: "Page") -> None:
    write_and_lose_the_session(page, is_draft=False)
    press_send(page)
    page.evaluate(HOURS_LATER, 23)
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "anna")
    page.locator(OFFER).get_by_text(WORDS).wait_for()
    page.evaluate(HOURS_LATER, 2)
    page.goto("/")
    page.get_by_role("heading", name="Outbox").wait_for()
    page.wait_for_function(f"{STORED}.length === 0")


def test_discarding_the_offer_deletes_them(page: "Page") -> None:
    write_and_lose_the_session(page, is_draft=False)
    press_send(page)
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "anna")
    page.locator(OFFER).get_by_role("button", name="Discard").click()
    page.locator(OFFER).wait_for(state="hidden")
    assert stored(page) == []


def test_they_are_deleted_once_the_open_page_is_saved(page: "Page") -> None:
    write_and_lose_the_session(page, is_draft=True)
    page.get_by_role("alert").filter(has_text="you were signed out").wait_for()
    assert len(stored(page)) == 1
    other = page.context.new_page()
    other.goto("/")
    sign_in_as(other, "anna")
    with saved(page, WORDS):
        pass
    page.wait_for_function(f"{STORED}.length === 0")


def test_a_draft_that_was_changed_elsewhere_is_not_overwritten(page: "Page") -> None:
    write_and_lose_the_session(page, is_draft=True)
    press_send(page)
    draft = Draft.objects.get()
    draft.text, draft.version, draft.saved_from = "From my phone", draft.version + 1, "phone"
    draft.save()
    page.get_by_role("link", name="Sign in").click()
    sign_in_as(page, "anna")
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("heading", name="This draft was changed elsewhere").wait_for()
    page.get_by_text("From my phone").wait_for()
    page.get_by_text(WORDS).wait_for()
    assert Draft.objects.get().text == "From my phone"
    page.get_by_role("button", name="Keep my version").click()
    page.get_by_text("Draft saved.").wait_for()
    assert Draft.objects.get().text == WORDS
    assert stored(page) == []
