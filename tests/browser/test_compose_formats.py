"""Rich text in the composer: what leaves it leaves no trace, and what it means stays."""

import base64
import re
import time
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox import api
from outbox.mail.html import html_to_text
from outbox.models import Attachment, Draft, Message
from tests.browser.writing import SAVED_WITHIN, saved, sign_in, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LETTER = (
    "<h2>Plan</h2><p>Dear <strong>Jane</strong>,<br>we need:</p>"
    "<ul><li><p>a chair</p></li><li><p>tools</p><ol><li><p>saw</p></li><li><p>nails</p></li></ol>"
    "</li></ul><blockquote><p>See you</p><p>there</p></blockquote>"
    '<ol start="3"><li><p>third</p></li></ol>'
    '<p>See <a href="https://example.com/yard">how to <em>find</em> us</a>,'
    ' <a href="https://example.com/">https://example.com/</a></p>'
)


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def test_a_picture_removed_from_the_files_leaves_the_text_as_well(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    page.locator(".rich").press_sequentially("Look:")
    for number in (1, 2):
        with page.expect_file_chooser() as choosing:
            page.get_by_role("button", name="Picture").click()
        choosing.value.set_files({"name": "dot.png", "mimeType": "image/png", "buffer": PNG})
        page.locator(".rich img").nth(number - 1).wait_for()
    kept = page.locator(".rich img").last.get_attribute("src")
    page.get_by_role("button", name="Remove dot.png").first.click()
    gone = page.locator(f'.rich img:not([src="{kept}"])')
    gone.wait_for(state="detached")
    assert page.locator(".rich img").count() == 1
    assert Attachment.objects.count() == 1
    page.locator(".rich").press("Control+z")  # takes back the second picture, not the removal
    page.locator(".rich").press("Control+Shift+z")
    page.locator(".rich img").wait_for()
    assert gone.count() == 0


def test_what_becomes_plain_keeps_its_marks_as_the_server_would_put_them(
    page: "Page", anna: User
) -> None:
    draft = api.save_draft(anna, api.DraftFields(text="x", html=LETTER))
    sign_in(page)
    page.goto(f"/compose/{draft.pk}/")
    page.locator(".rich").get_by_text("a chair").wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Plain text").click()
    text = page.locator("textarea#id_text")
    text.wait_for()
    assert text.input_value() == html_to_text(LETTER).rstrip("\n")


def test_a_list_that_was_typed_is_a_list_in_the_text_part_too(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    with saved(page, "- a chair\n- tools"):
        page.get_by_role("button", name="List", exact=True).click()
        page.locator(".rich").press_sequentially("a chair")
        page.keyboard.press("Enter")
        page.keyboard.type("tools")
    assert "<ul>" in Draft.objects.get(message=Message.objects.get()).html


def test_color_size_and_alignment_survive_saving_and_can_be_cleared(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    rich = page.locator(".rich")
    rich.press_sequentially("Large and red")
    rich.press("Control+a")
    page.get_by_label("Text size").select_option(label="Large")
    page.get_by_label("Text color").select_option(label="Red")
    page.get_by_label("Alignment").select_option(label="Center")
    html = draft_html(page, "text-align")
    assert "color:" in html
    assert "font-size:" in html
    assert html_to_text(html) == "Large and red\n"
    page.reload()
    rich.get_by_text("Large and red").wait_for()
    rich.press("Control+a")
    assert rich.locator("span").evaluate("span => span.style.color") == "rgb(179, 38, 30)"
    assert rich.locator("span").evaluate("span => span.style.fontSize") == "20px"
    assert rich.locator("p").evaluate("p => getComputedStyle(p).textAlign") == "center"
    for menu, shown in (("Text size", "Large"), ("Text color", "Red"), ("Alignment", "Center")):
        chosen = page.get_by_label(menu).locator("option:checked")
        assert chosen.inner_text() == shown
    page.get_by_role("button", name="Clear formatting").click()
    page.get_by_role("button", name="Code").click()
    assert draft_html(page, "<code>") == "<p><code>Large and red</code></p>"


def draft_html(page: "Page", part: str) -> str:
    """Return the draft's HTML as soon as it has this part."""
    deadline = time.monotonic() + SAVED_WITHIN
    while part not in (html := "".join(Draft.objects.values_list("html", flat=True))):
        assert time.monotonic() < deadline, html
        page.wait_for_timeout(50)
    page.wait_for_url(re.compile(r"/compose/\d+/"))  # a reload would open another draft before
    return html
