"""Several mails at once, in a browser: chosen, counted, decided; and chosen in vain."""

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


def test_chosen_mails_are_counted_and_cancelled(page: "Page", anna: User) -> None:
    sign_in(page)
    cancel = page.get_by_role("button", name="Cancel")
    assert cancel.is_hidden()
    page.get_by_role("checkbox", name="Mail 3").check()
    page.get_by_role("checkbox", name="Mail 1").click(modifiers=["Shift"])
    cancel.click()
    dialog = page.get_by_role("dialog", name="Cancel these messages?")
    dialog.get_by_text("3 messages, 3 recipients: 3 queued.").wait_for()
    dialog.get_by_role("button", name="Cancel messages").click()
    page.get_by_text("3 messages were cancelled.").wait_for()
    assert page.get_by_role("link", name="Mail 0").is_visible()
    assert Message.objects.filter(status=Status.CANCELLED).count() == 3


def test_chosen_mails_are_held_and_released(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("checkbox", name="Mail 3").check()
    page.get_by_role("button", name="Hold").click()
    dialog = page.get_by_role("dialog", name="Hold these messages?")
    dialog.get_by_text("1 message, 1 recipient: 1 queued.").wait_for()
    dialog.get_by_role("button", name="Hold messages").click()
    page.get_by_text("1 message is held.").wait_for()
    assert Message.objects.get(status=Status.HELD).subject == "Mail 3"

    page.get_by_label("Select page").check()
    page.get_by_role("button", name="Release").click()
    dialog = page.get_by_role("dialog", name="Release these messages?")
    dialog.get_by_text("3 other selected messages are in a state").wait_for()
    dialog.get_by_role("button", name="Release messages").click()
    page.get_by_text("1 message was released.").wait_for()
    assert not Message.objects.filter(status=Status.HELD).exists()


def test_what_is_chosen_stays_so_while_the_list_refreshes_itself(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("checkbox", name="Mail 2").check()
    fields = api.DraftFields(account=Message.objects.latest("pk").account, to="joe@example.com")
    api.send_draft(api.save_draft(anna, fields), actor=anna)
    page.get_by_role("link", name="(no subject)").wait_for()
    assert page.get_by_role("checkbox", name="Mail 2").is_checked()
    assert not page.get_by_role("checkbox", name="Mail 1").is_checked()


def test_what_went_on_meanwhile_is_told(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_label("Select page").check()
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("4 messages, 4 recipients").wait_for()
    api.cancel(Message.objects.get(subject="Mail 0"))
    dialog.get_by_role("button", name="Cancel messages").click()
    page.get_by_text("3 messages were cancelled.").wait_for()
    page.get_by_text("1 message had already changed state").wait_for()
