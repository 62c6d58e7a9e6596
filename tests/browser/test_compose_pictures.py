"""The composer in its states, contacts and preferences fit and are accessible."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox import api
from outbox.mail.addresses import parse_address
from outbox.models import Account, Contact, Template
from tests.browser.album import Album, open_album

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONG = "averyveryveryverylongmailboxnamewithoutanybreaks@subdomain.of.a.subdomain.example.com"
BOOK = ("Jane Doe <jane@example.com>", "Jack <jack@example.com>", LONG)
FORTY = ", ".join(f"person{number:02d}@example.com" for number in range(40))


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_the_composer_contacts_and_preferences_fit_and_are_accessible(
    browser: "Browser", live_server: Any, writer: User
) -> None:
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("contacts-empty", reverse("outbox:contacts"))
        for text in BOOK:
            Contact.of(writer.pk, parse_address(text), is_kept="Jack" not in text).save()
        album.visit("contacts", reverse("outbox:contacts"))
        album.visit("contact-add", reverse("outbox:contact-add"))
        album.visit("preferences", reverse("outbox:preferences"))
        write(album)
        choose_template(album, writer)
        show_forty(album, writer)


def write(album: Album) -> None:
    """Write a message with every kind of mistake."""
    page = album.page
    page.goto(reverse("outbox:compose"))
    to = page.locator("#id_to_entry")
    to.press_sequentially(f"{LONG}, jane@example.com, ja")
    page.locator("#id_to_options [role=option]").first.wait_for()
    album.keep("compose-suggestions")
    to.fill("unknown(at)example.org")
    page.get_by_text("Cc, Bcc, reply to, importance").click()
    page.locator("#id_to_error").get_by_text("has no @").wait_for()
    album.keep("compose-wrong-address")
    page.locator(".address-chip").filter(has_text="unknown(at)").locator(".chip-remove").click()
    page.get_by_role("button", name="Rich text").click()
    page.locator(".rich").press_sequentially("The plan is attached.")
    album.keep("compose-editor")
    page.get_by_role("button", name="Schedule send").click()
    album.keep("compose-later")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert", name="Check before sending").wait_for()
    album.keep("compose-warnings")


def choose_template(album: Album, writer: User) -> None:
    Template.objects.create(owner=writer, name="Quote", text="Dear {{ name }},")
    page = album.page
    page.goto(reverse("outbox:compose"))
    page.get_by_role("link", name="Template", exact=True).click()
    page.locator("#dialog .insert:not(.htmx-added)").wait_for()
    page.locator("#insert-template").select_option(label="Quote")
    page.locator("#insert-preview").wait_for()
    album.keep("compose-template")


def show_forty(album: Album, writer: User) -> None:
    fields = api.DraftFields(account=Account.objects.get(), to=FORTY, subject="Forty", text="Hi")
    draft = api.save_draft(writer, fields)
    album.page.goto(reverse("outbox:draft", args=[draft.pk]))
    album.page.locator(".address-chip").nth(39).wait_for()
    album.keep("compose-forty")
