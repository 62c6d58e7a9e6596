"""Drafts that save themselves, in a real browser: two tabs, a lost session, an unavailable site."""

import re
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session
from pytest_django import Settings

from outbox.models import Message, Status
from tests.browser.writing import saved, sign_in, write_new
from tests.states import set_state

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.usefixtures("writer")


def test_what_is_typed_is_kept_within_two_seconds(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).press_sequentially("jane@example.com, ")
    page.get_by_label("Text").press_sequentially("Dear Jane")
    with saved(page, "Dear Jane"):
        pass
    draft = Message.objects.get()
    assert draft.draft.to == "jane@example.com"
    page.wait_for_url(f"**/compose/{draft.pk}/")
    with page.expect_response("**/save/"):
        page.get_by_label("Subject").fill("Figures")
    page.goto("about:blank")
    page.go_back()
    assert page.get_by_label("Subject").input_value() == "Figures"
    assert Message.objects.count() == 1


def test_two_tabs_on_one_draft_get_a_conflict_and_lose_nothing(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Text").fill("From the first tab")
    with saved(page, "From the first tab"):
        pass
    second = page.context.new_page()
    second.goto(page.url)
    page.get_by_label("Text").fill("The first tab went on")
    with saved(page, "The first tab went on"):
        pass
    second.get_by_label("Text").fill("The second tab is older")
    alert = second.get_by_role("alert").filter(has_text="changed in another tab")
    alert.wait_for()
    assert Message.objects.get().draft.text == "The first tab went on"
    alert.get_by_role("button", name="Show both versions").click()
    second.get_by_role("heading", name="This draft was changed elsewhere").wait_for()
    assert second.get_by_text("The first tab went on").is_visible()
    second.get_by_role("button", name="Keep my version").click()
    second.get_by_text("Draft saved.").wait_for()
    assert Message.objects.get().draft.text == "The second tab is older"


def test_a_lost_session_costs_no_word(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Text").fill("Before")
    with saved(page, "Before"):
        pass
    Session.objects.all().delete()
    page.get_by_label("Text").fill("Before and after")
    page.get_by_role("alert").filter(has_text="you were signed out").wait_for()
    assert Message.objects.get().draft.text == "Before"
    other = page.context.new_page()
    sign_in(other)
    with saved(page, "Before and after"):
        pass
    page.get_by_role("alert").filter(has_text="you were signed out").wait_for(state="hidden")
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Signed in again")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Signed in again").wait_for()


def test_text_is_saved_later_while_the_site_is_unavailable(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Text").fill("First")
    with saved(page, "First"):
        pass
    page.context.set_offline(True)
    page.get_by_label("Text").fill("First and second")
    page.get_by_role("alert").filter(has_text="the site does not respond").wait_for()
    page.context.set_offline(False)
    with saved(page, "First and second"):
        pass


def test_a_closed_tab_saves_its_last_words(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Text").fill("First")
    with saved(page, "First"):
        pass
    with saved(page, "First, and the last words"):
        page.get_by_label("Text").fill("First, and the last words")
        page.goto("about:blank")


def test_undo_takes_a_message_back_and_says_so(page: "Page", settings: Settings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"UNDO_PERIOD": 60}
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Too soon")
    page.get_by_label("Text").fill("Dear Jane")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Not sent yet. You can still undo.").wait_for()
    page.locator(".now-when").get_by_text(re.compile(r"in \d+")).first.wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Sending undone. Your message is back in Drafts.").wait_for()
    assert page.get_by_label("Text").input_value() == "Dear Jane"
    assert Message.objects.get().status == Status.DRAFT


def test_undo_that_comes_too_late_says_so(page: "Page", settings: Settings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"UNDO_PERIOD": 60}
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Gone")
    page.get_by_role("button", name="Send", exact=True).click()
    undo = page.get_by_role("button", name="Undo")
    undo.wait_for()
    with page.expect_response(re.compile("/undo/")):
        set_state(Message.objects.get().recipients, "sent", attempts=1)
        undo.click()
    page.get_by_text("Too late: the message was already being sent.").wait_for()
