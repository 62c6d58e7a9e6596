"""Anna learns of a failure wherever she is: a badge, a notice, the reason in the row."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.api.bulk_actions import run_bulk_operations
from outbox.models import Message, Recipient, State
from tests.browser.scenes import account, mail
from tests.browser.writing import PASSWORD, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

REFUSED = [("jane@example.com", State.FAILED), ("joe@example.org", State.DEFERRED)]


@pytest.fixture
def anna(transactional_db: None) -> User:
    return User.objects.create_user(
        "anna", password=PASSWORD, is_staff=True, is_superuser=True, email="anna@example.com"
    )


def test_a_failure_is_announced_until_it_was_opened(page: "Page", anna: User) -> None:
    work = account(anna)
    sign_in(page)
    failed = page.locator("#folder-failed")
    assert failed.inner_text().strip() == "Failed"
    mail(work, "Figures", REFUSED)
    page.get_by_role("link", name="Contacts").click()
    notice = page.get_by_role("region", name="Failed messages")
    notice.get_by_text("Delivery of “Figures” to jane@example.com failed.").wait_for()
    notice.get_by_text("550 5.1.1").wait_for()
    assert failed.locator(".count").inner_text().startswith("1")

    failed.click()
    row = page.locator("#rows .row", has_text="Figures")
    row.get_by_text("550 5.1.1").wait_for()
    row.get_by_text("1 deferred").wait_for()
    assert notice.count() == 0
    assert failed.locator(".count").count() == 0

    row.get_by_role("link").click()
    page.locator("#now").get_by_text("0 of 2 sent. 1 failed: 550 5.1.1").wait_for()
    page.locator("#folder-outbox").click()
    page.locator("#rows .row", has_text="Figures").wait_for()


def test_the_badge_comes_by_itself_while_a_list_is_open(page: "Page", anna: User) -> None:
    work = account(anna)
    sign_in(page)
    mail(work, "Figures", REFUSED)
    page.locator("#folder-failed .count").wait_for()
    assert Message.objects.get().failure_unseen


def test_a_notice_is_dismissed(page: "Page", anna: User) -> None:
    work = account(anna)
    for number in range(3):
        mail(work, f"Letter {number}", REFUSED)
    sign_in(page)
    page.goto("/contacts/")
    notice = page.get_by_role("region", name="Failed messages")
    notice.get_by_text("Delivery of 3 messages failed.").wait_for()
    notice.get_by_role("button", name="Dismiss").click()
    page.wait_for_url("**/contacts/")
    page.get_by_role("region", name="Failed messages").wait_for(state="detached")
    assert not Message.objects.filter(failure_unseen=True).exists()


def test_a_retry_of_several_names_who_was_refused(page: "Page", anna: User) -> None:
    work = account(anna)
    mail(work, "Figures", REFUSED)
    mail(work, "Stopped", [("li@example.cn", State.CANCELLED)])
    sign_in(page)
    page.get_by_label("Select page").check()
    page.get_by_role("button", name="Retry delivery").click()
    dialog = page.get_by_role("dialog", name="Retry delivery?")
    dialog.get_by_text("1 message, 2 recipients: 1 deferred, 1 failed.").wait_for()
    dialog.get_by_text("1 recipient was rejected permanently").wait_for()
    dialog.get_by_text("jane@example.com").first.wait_for()
    dialog.get_by_role("button", name="Retry delivery").click()
    page.get_by_text("Queued again: 1 message.").wait_for()
    assert Recipient.objects.get(address="li@example.cn").state == State.CANCELLED


def test_the_admin_asks_before_it_retries(page: "Page", anna: User) -> None:
    work = account(anna)
    mail(work, "Figures", REFUSED)
    sign_in(page)
    page.goto("/admin/outbox/message/")
    page.get_by_role("checkbox", name="Select this object").first.check()
    page.get_by_label("Action:").select_option(label="Retry delivery")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("heading", name="Retry delivery?").wait_for()
    page.get_by_text("1 message, 2 recipients: 1 deferred, 1 failed.").wait_for()
    page.get_by_label("Reason").fill("Asked by Jane")
    page.get_by_role("button", name="Retry delivery").click()
    page.get_by_text("Retry delivery: 1 message is being processed in the background.").wait_for()
    run_bulk_operations("default")
    page.reload()
    page.get_by_text("finished").first.wait_for()
    assert set(Recipient.objects.values_list("state", flat=True)) == {
        State.QUEUED,
        State.DEFERRED,
    }


def test_a_refused_address_is_suggested_with_the_reply(page: "Page", anna: User) -> None:
    mail(account(anna), "Figures", REFUSED)
    sign_in(page)
    page.goto("/compose/")
    entry = page.locator("#id_to_entry")
    entry.wait_for()
    entry.press_sequentially("jane")
    option = page.get_by_role("option", name="jane@example.com")
    option.get_by_text("The latest message failed: 550 5.1.1").wait_for()
