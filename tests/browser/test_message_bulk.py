"""Actions on several messages in a browser."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox import api
from outbox.models import Message, State, Status
from tests.browser.scenes import account, mail
from tests.browser.writing import PASSWORD, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def anna(transactional_db: None) -> User:
    anna = User.objects.create_user("anna", password=PASSWORD)
    work = account(anna)
    for number in range(4):
        mail(work, f"Mail {number}", [("jane@example.com", State.QUEUED)])
    return anna


def test_selected_messages_are_counted_and_cancelled(page: "Page", anna: User) -> None:
    sign_in(page)
    cancel = page.get_by_role("button", name="Cancel delivery")
    assert cancel.is_hidden()
    page.get_by_role("checkbox", name="Mail 3").check()
    page.get_by_role("checkbox", name="Mail 1").click(modifiers=["Shift"])
    cancel.click()
    dialog = page.get_by_role("dialog", name="Cancel delivery?")
    dialog.get_by_text("3 messages, 3 recipients: 3 queued.").wait_for()
    dialog.get_by_role("button", name="Cancel delivery").click()
    page.get_by_text("Delivery cancelled: 3 messages.").wait_for()
    assert page.get_by_role("link", name="Mail 0").is_visible()
    assert Message.objects.filter(status=Status.CANCELLED).count() == 3


def test_selected_messages_are_held_and_released(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("checkbox", name="Mail 3").check()
    page.get_by_role("button", name="Hold delivery").click()
    dialog = page.get_by_role("dialog", name="Hold delivery?")
    dialog.get_by_text("1 message, 1 recipient: 1 queued.").wait_for()
    dialog.get_by_role("button", name="Hold delivery").click()
    page.get_by_text("Delivery held: 1 message.").wait_for()
    assert Message.objects.get(status=Status.HELD).subject == "Mail 3"

    page.get_by_label("Select page").check()
    page.get_by_role("button", name="Release delivery").click()
    dialog = page.get_by_role("dialog", name="Release delivery?")
    dialog.get_by_text("3 other selected messages are not changed").wait_for()
    dialog.get_by_role("button", name="Release delivery").click()
    page.get_by_text("Delivery released: 1 message.").wait_for()
    assert not Message.objects.filter(status=Status.HELD).exists()


def test_the_selection_is_kept_when_the_list_refreshes(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("checkbox", name="Mail 2").check()
    fields = api.DraftFields(account=Message.objects.latest("pk").account, to="joe@example.com")
    api.send_draft(api.save_draft(anna, fields), actor=anna)
    page.get_by_role("link", name="(no subject)").wait_for()
    assert page.get_by_role("checkbox", name="Mail 2").is_checked()
    assert not page.get_by_role("checkbox", name="Mail 1").is_checked()


def test_messages_that_changed_in_the_meantime_are_reported(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_label("Select page").check()
    page.get_by_role("button", name="Cancel delivery").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("4 messages, 4 recipients").wait_for()
    api.cancel(Message.objects.get(subject="Mail 0"))
    dialog.get_by_role("button", name="Cancel delivery").click()
    page.get_by_text("Delivery cancelled: 3 messages.").wait_for()
    page.get_by_text("1 message had already changed state").wait_for()
