"""A bounce on the page of a message in a browser: read, corrected, and classified."""

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import State
from tests.browser import scenes
from tests.browser.writing import authenticate
from tests.integration.inbound.returned import attempt, bounce, receive

if TYPE_CHECKING:
    from playwright.sync_api import Page

BOB = "bob@example.org"


def test_a_bounce_is_corrected_with_a_click(page: "Page", anna: User) -> None:
    sender = scenes.account(anna)
    message = scenes.mail(sender, "Invoice", [(BOB, State.QUEUED)])
    attempt(message, State.SENT)
    receive(sender, bounce(about=BOB, message_id=message.message_id))
    authenticate(page)
    page.goto(reverse("outbox:message", args=[message.pk]))
    page.get_by_role("heading", name="Reports").wait_for()
    report = page.locator("#reports")
    report.get_by_text("User unknown").wait_for()
    report.get_by_text("hard bounce").wait_for()
    report.get_by_role("button", name="Not a bounce of this message").click()
    page.get_by_text("Report corrected.").wait_for()
    assert page.get_by_role("heading", name="Reports").count() == 0
    assert message.recipients.get().state == State.SENT
