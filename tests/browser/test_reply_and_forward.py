"""Reply, forward and edit as new: the draft is stored with the first change."""

import base64
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox import api
from outbox.models import Account, Draft, Message
from tests.browser.test_compose_writes import PNG
from tests.browser.writing import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def letter(writer: User) -> Message:
    """A message with formatted text, a picture in it, and a file."""
    logo = api.AttachmentPart(
        name="logo.png", content_type="image/png", data=PNG, content_id="logo@example.com"
    )
    plan = api.AttachmentPart(name="plan.txt", content_type="text/plain", data=b"The plan")
    held = base64.b64encode(PNG).decode()
    handle = api.send(
        to="jane@example.com",
        subject="Plan",
        text="Here is the plan",
        html='<p>Here is <b>the plan</b></p><img src="cid:logo@example.com">'
        f'<img src="data:image/png;base64,{held}">',
        attachments=[logo, plan],
        account=Account.objects.get(),
        owner=writer,
    )
    return handle.message()


def press(page: "Page", letter: Message, button: str) -> None:
    page.goto(f"/messages/{letter.pk}/")
    page.get_by_role("button", name=button, exact=True).click()
    page.locator("#id_to_entry").wait_for()
    page.locator(".rich").wait_for()


@pytest.mark.parametrize("button", ["Reply", "Forward", "Edit as new"])
def test_a_click_that_nothing_follows_leaves_no_draft(
    page: "Page", letter: Message, button: str
) -> None:
    sign_in(page)
    saves: list[str] = []
    page.on(
        "request",
        lambda request: saves.append(request.url) if request.url.endswith("/save/") else None,
    )
    press(page, letter, button)
    page.reload()
    page.locator(".rich").wait_for()
    page.get_by_label("Subject").click()
    page.keyboard.press("ArrowRight")
    page.go_back()  # a page that is left saves what it has not saved yet
    page.get_by_role("heading", name="Plan").first.wait_for()
    assert saves == []
    assert not Draft.objects.exists()


def test_a_forward_keeps_files_and_pictures(page: "Page", letter: Message) -> None:
    sign_in(page)
    press(page, letter, "Forward")
    for number in range(2):
        picture = page.locator(".rich img").nth(number)
        assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") == 1
    page.get_by_role("link", name="plan.txt").wait_for()
    page.keyboard.press("Escape")
    page.locator("#id_to_entry").click()
    page.keyboard.type("new@example.com")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compose/*/")
    page.reload()
    page.locator(".rich img").nth(1).wait_for()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Fwd: Plan").wait_for()
    sent = Message.objects.latest("pk")
    assert sent.made_from == letter
    assert sent.attachment_count == 3
    source = sent.source.read()
    assert b"plan.txt" in source
    assert b"Content-ID: <logo@example.com>" in source


def test_a_file_is_removed_before_anything_is_stored(page: "Page", letter: Message) -> None:
    sign_in(page)
    press(page, letter, "Forward")
    page.get_by_role("button", name="Remove plan.txt").click()
    page.wait_for_url("**/compose/*/")
    draft = Message.objects.latest("pk")
    assert "plan.txt" not in draft.attachments.values_list("name", flat=True)
    page.get_by_role("button", name="Remove logo.png").click()
    page.get_by_role("button", name="Remove logo.png").wait_for(state="detached")
    page.locator(".rich img").nth(1).wait_for(state="detached")


def test_a_file_can_be_added_to_a_reply_at_once(page: "Page", letter: Message) -> None:
    sign_in(page)
    press(page, letter, "Reply")
    page.get_by_label("Attach files").set_input_files(
        {"name": "more.txt", "mimeType": "text/plain", "buffer": b"more"}
    )
    page.get_by_role("link", name="more.txt").wait_for()
    draft = Message.objects.latest("pk")
    assert draft.made_from == letter
    assert "more.txt" in draft.attachments.values_list("name", flat=True)


def test_two_tabs_store_two_replies(page: "Page", letter: Message) -> None:
    sign_in(page)
    other = page.context.new_page()
    for tab, words in ((page, "First tab"), (other, "Second tab")):
        press(tab, letter, "Reply")
        tab.locator(".rich").press("Control+Home")
        tab.keyboard.type(words)
        tab.wait_for_url("**/compose/*/")
    page.go_back()
    page.get_by_role("heading", name="Plan").first.wait_for()
    page.go_forward()
    page.locator(".rich").get_by_text("First tab").wait_for()
    texts = " ".join(Draft.objects.values_list("text", flat=True))
    assert "First tab" in texts
    assert "Second tab" in texts
