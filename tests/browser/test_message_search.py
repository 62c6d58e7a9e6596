"""Search in a browser: by a line, by fields, and with a mistake in it."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.models import State
from tests.browser.scenes import account, mail
from tests.browser.writing import PASSWORD, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def anna(transactional_db: None) -> User:
    anna = User.objects.create_user("anna", password=PASSWORD)
    work = account(anna)
    mail(work, "Figures for October", [("jane@example.com", State.SENT)])
    mail(work, "Invoice", [("joe@example.org", State.FAILED)])
    mail(work, "会议纪要", [("li@example.cn", State.SENT)])
    return anna


def test_mail_is_found_by_a_line_from_any_list(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("searchbox").fill("会议")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Search results").wait_for()
    page.get_by_role("link", name="会议纪要").wait_for()
    assert page.get_by_role("link", name="Invoice").count() == 0


def test_fields_write_the_line(page: "Page", anna: User) -> None:
    sign_in(page)
    page.goto("/search/")
    page.get_by_text("Search by fields").click()
    page.get_by_label("Recipient").fill("joe@")
    page.get_by_label("Reply code").fill("5.1")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("group").get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Invoice").wait_for()
    assert page.get_by_role("searchbox").input_value() == "to:joe@ code:5.1 is:failed"


def test_an_error_is_shown_at_its_field(page: "Page", anna: User) -> None:
    sign_in(page)
    page.goto("/search/")
    page.get_by_text("Search by fields").click()
    page.get_by_label("Reply code").fill("abc")
    page.get_by_role("group").get_by_role("button", name="Search").click()
    page.get_by_text("“code:abc” is not a reply code").wait_for()
    assert page.get_by_label("Reply code").input_value() == "abc"
    page.get_by_role("searchbox").fill("is:gone")
    page.keyboard.press("Enter")
    page.get_by_text("“is:gone” is not a state").wait_for()
