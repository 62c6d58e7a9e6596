"""A template is inserted with the values that its dialog shows, however quickly one types."""

import base64
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.models import Message, Template
from tests.browser.test_compose_writes import PNG, open_templates
from tests.browser.writing import saved, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Pastes formatted text as the desktop does: no script may fill a real clipboard.
PASTE = """([html, target]) => {
    const data = new DataTransfer();
    data.setData("text/html", html);
    const options = { clipboardData: data, bubbles: true, cancelable: true };
    document.querySelector(target).dispatchEvent(new ClipboardEvent("paste", options));
}"""
DATA_PNG = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def choose(page: "Page", name: str) -> None:
    write_new(page)
    open_templates(page)
    page.locator("#insert-template").select_option(label=name)
    page.locator("#dialog .insert:not(.htmx-added) #insert-form").wait_for()


def test_a_value_typed_just_before_enter_is_inserted(page: "Page", anna: User) -> None:
    Template.objects.create(
        owner=anna, name="Quote", subject="For {{ name }}", text="Hi {{ name }}!"
    )
    choose(page, "Quote")
    page.keyboard.type("Jane", delay=0)
    page.keyboard.press("Enter")
    page.locator("#dialog").wait_for(state="hidden")
    assert page.get_by_label("Subject").input_value() == "For Jane"
    assert page.locator("#id_text").input_value() == "Hi Jane!"


def test_a_value_changed_after_the_preview_is_inserted_as_it_is_now(
    page: "Page", anna: User
) -> None:
    Template.objects.create(owner=anna, name="Quote", text="Hi {{ name }}!")
    choose(page, "Quote")
    page.keyboard.type("Jane")
    page.get_by_text("Hi Jane!").wait_for()
    page.keyboard.type("t")
    page.get_by_role("button", name="Insert").click()
    page.locator("#dialog").wait_for(state="hidden")
    assert page.locator("#id_text").input_value() == "Hi Janet!"


def test_nothing_is_inserted_while_the_site_does_not_respond(page: "Page", anna: User) -> None:
    Template.objects.create(owner=anna, name="Quote", text="Hi {{ name }}!")
    choose(page, "Quote")
    page.context.set_offline(True)
    page.keyboard.type("Jane")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("could not be filled in").wait_for()
    assert page.locator("#id_text").input_value() == ""
    page.context.set_offline(False)
    page.keyboard.press("Enter")
    page.locator("#dialog").wait_for(state="hidden")
    assert page.locator("#id_text").input_value() == "Hi Jane!"


def test_choosing_a_template_focuses_its_first_placeholder(page: "Page", anna: User) -> None:
    text = "{{ greeting }} {{ name }}, order {{ order|default:'none' }}"
    Template.objects.create(owner=anna, name="Quote", text=text)
    Template.objects.create(owner=anna, name="Plain", text="Nothing to fill in")
    choose(page, "Quote")
    focused = page.evaluate("document.activeElement.name")
    assert focused == "value-greeting"
    assert page.locator("label", has_text="order").inner_text().split() == ["order", "optional"]
    assert "optional" not in page.locator("label[for=insert-name]").inner_text()
    page.locator("#insert-template").select_option(label="Plain")
    page.locator("#insert-use:focus").wait_for()


def test_a_value_that_is_not_an_address_is_not_inserted(page: "Page", anna: User) -> None:
    Template.objects.create(owner=anna, name="Link", html='<p><a href="{{ link }}">x</a></p>')
    choose(page, "Link")
    page.keyboard.type("javascript:alert(1)")
    page.keyboard.press("Enter")
    page.get_by_text("is not an address for a link or a picture").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.type("https://example.com/")
    page.keyboard.press("Enter")
    page.locator('.rich a[href="https://example.com/"]').wait_for()
    with saved(page, "x <https://example.com/>"):
        pass


def test_a_picture_of_a_template_of_the_site_is_uploaded(page: "Page") -> None:
    html = f'<p>Hello <img src="{DATA_PNG}" alt="logo"></p>'
    Template.objects.create(owner=None, name="Of the site", html=html)
    choose(page, "Of the site")
    page.get_by_role("button", name="Insert").click()
    page.locator(".rich img").wait_for()
    assert Message.objects.get().attachments.get().read() == PNG


def test_pictures_inside_of_pasted_text_are_uploaded(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    page.locator(".rich").click()
    html = f'<p>one <b>two</b></p><img src="{DATA_PNG}" alt="a"><p>three</p><img src="{DATA_PNG}">'
    page.evaluate(PASTE, [html, ".rich"])
    page.locator(".rich img").nth(1).wait_for()
    page.locator(".rich strong").get_by_text("two").wait_for()
    assert page.locator(".rich img").first.evaluate(
        "img => img.decode().then(() => img.naturalWidth)"
    )
    assert Message.objects.get().attachments.get().read() == PNG


def test_a_pasted_picture_that_is_damaged_is_named(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    page.locator(".rich").click()
    page.evaluate(
        PASTE, ['<p>words</p><img src="data:image/png;base64,####" alt="chart">', ".rich"]
    )
    page.locator(".rich").get_by_text("words").wait_for()
    page.get_by_role("alert").filter(has_text="chart.png").wait_for()
