"""A schedule that is chosen in the composer is the time at which the message is sent."""

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.models import Message, Preferences, Status
from tests.browser.writing import saved, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page

MESSAGE_PAGE = re.compile(r"/messages/\d+/")
TOKYO = dt.timezone(dt.timedelta(hours=9))


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    Preferences.objects.create(user=writer, time_zone="Asia/Tokyo")
    return writer


def write_with_a_missing_attachment(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).click()
    page.keyboard.type("jane@example.com")
    page.keyboard.press("Enter")
    page.get_by_label("Subject").click()
    page.keyboard.type("Plan")
    page.get_by_label("Text", exact=True).click()
    page.keyboard.type("The plan is attached.")


def press_tomorrow(page: "Page") -> dt.date:
    page.get_by_role("button", name="Schedule send").click()
    page.get_by_role("button", name=re.compile("^Tomorrow .*, 09:00$")).click()
    return dt.datetime.now(TOKYO).date() + dt.timedelta(days=1)


def assert_scheduled(day: dt.date) -> None:
    message = Message.objects.get()
    assert message.status == Status.SCHEDULED
    assert message.send_at == dt.datetime.combine(day, dt.time(9), TOKYO)
    assert message.recipients.get().next_attempt_at == message.send_at


def test_tomorrow_at_nine_survives_a_warning(page: "Page") -> None:
    write_with_a_missing_attachment(page)
    day = press_tomorrow(page)
    page.get_by_text("nothing is attached").wait_for()
    assert page.locator(".scheduled").is_visible()
    page.get_by_role("button", name="Schedule anyway").and_(page.locator("#send")).click()
    page.wait_for_url(MESSAGE_PAGE)
    assert_scheduled(day)


def test_tomorrow_at_nine_survives_a_reload_and_further_typing(page: "Page") -> None:
    write_with_a_missing_attachment(page)
    day = press_tomorrow(page)
    page.get_by_text("nothing is attached").wait_for()
    page.get_by_label("Text", exact=True).click()
    page.keyboard.press("Control+End")
    with saved(page, "The plan is attached. Bye"):
        page.keyboard.type(" Bye")
    page.reload()
    page.locator("#id_to_entry").wait_for()
    assert page.locator(".scheduled").is_visible()
    page.get_by_role("button", name="Schedule send", exact=True).and_(page.locator("#send")).click()
    page.get_by_role("button", name="Schedule anyway").and_(page.locator("#send")).click()
    page.wait_for_url(MESSAGE_PAGE)
    assert_scheduled(day)


def test_clearing_the_time_on_a_warned_page_sends_now(page: "Page") -> None:
    write_with_a_missing_attachment(page)
    press_tomorrow(page)
    page.get_by_text("nothing is attached").wait_for()
    page.get_by_role("button", name="Change time").click()
    page.get_by_label("Another time").fill("")
    page.get_by_role("button", name="Send anyway").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Send anyway").and_(page.locator("#send")).click()
    page.wait_for_url(MESSAGE_PAGE)
    message = Message.objects.get()
    assert message.send_at is None or message.send_at < dt.datetime.now(TOKYO) + dt.timedelta(
        minutes=2
    )


def schedule_tomorrow(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).click()
    page.keyboard.type("jane@example.com")
    page.keyboard.press("Enter")
    page.get_by_label("Subject").click()
    page.keyboard.type("Plan")
    press_tomorrow(page)
    page.wait_for_url(MESSAGE_PAGE)


def test_the_time_of_a_scheduled_message_is_changed(page: "Page") -> None:
    schedule_tomorrow(page)
    page.get_by_role("link", name="Change time").click()
    dialog = page.get_by_role("dialog", name="Change time")
    dialog.get_by_label("Another time").fill("2071-07-01T09:00")
    dialog.get_by_role("button", name="Change time").click()
    page.get_by_text("Scheduled for Wed 1 Jul 2071, 09:00").first.wait_for()
    assert Message.objects.get().send_at == dt.datetime(2071, 7, 1, 9, tzinfo=TOKYO)


def test_a_scheduled_message_is_edited_and_scheduled_again(page: "Page") -> None:
    schedule_tomorrow(page)
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#id_to_entry").wait_for()
    assert Message.objects.get().is_draft
    page.get_by_label("Subject").press("End")
    page.keyboard.type(" B")
    page.get_by_role("button", name="Schedule send", exact=True).and_(page.locator("#send")).click()
    page.get_by_role("heading", name="Plan B").wait_for()
    assert_scheduled(dt.datetime.now(TOKYO).date() + dt.timedelta(days=1))


def test_a_scheduled_message_is_sent_now_and_can_be_undone(page: "Page") -> None:
    Preferences.objects.update(undo_period=60)
    schedule_tomorrow(page)
    page.get_by_role("button", name="Send now").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Sending undone. Your message is back in Drafts.").wait_for()
    assert Message.objects.get().is_draft
