"""Contacts and preferences, in a real browser."""

from typing import TYPE_CHECKING

import pytest

from outbox.models import Contact, Preferences
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.usefixtures("writer")


def test_a_contact_is_added_found_and_written_to(page: "Page") -> None:
    sign_in(page)
    page.get_by_role("link", name="Contacts").click()
    page.get_by_role("heading", name="No contacts yet").wait_for()
    page.get_by_role("link", name="Add a contact").first.click()
    page.get_by_label("Address").fill("jane@example.com")
    page.get_by_label("Name").fill("Doe, Jane")
    page.get_by_role("button", name="Save contact").click()
    page.get_by_text("Contact saved.").wait_for()
    page.get_by_label("Name or address").fill("doe")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Compose a message to jane@example.com").click()
    page.locator(".address-chip").get_by_text("Doe, Jane").wait_for()


def test_a_contact_without_an_address_is_shown_at_its_field(page: "Page") -> None:
    sign_in(page)
    page.goto("/contacts/add/")
    page.get_by_label("Address").fill("jane")
    page.get_by_role("button", name="Save contact").click()
    page.get_by_text("“jane” has no @").wait_for()
    assert page.get_by_label("Address").get_attribute("aria-invalid") == "true"
    assert not Contact.objects.exists()


def test_a_time_zone_is_chosen_and_counts_from_then_on(page: "Page") -> None:
    sign_in(page)
    page.get_by_role("button", name="Menu of anna").click()
    page.get_by_role("link", name="Preferences").click()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_label("Undo period").select_option("30")
    page.get_by_role("button", name="Save preferences").click()
    page.get_by_text("Preferences saved.").wait_for()
    page.locator("html[data-time-zone='Asia/Tokyo']").wait_for()
    assert Preferences.objects.get().undo_period == 30
