"""Recipients as people type, paste and edit them, by keyboard events in a real browser.

What was typed is compared with what a real SMTP server received.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.mail.addresses import parse_address
from outbox.models import Account, Contact, Message, Security
from outbox.testing.mailserver import MailServer
from tests.browser.address_field import PASTE, chips, to_field
from tests.browser.writing import saved, write_new
from tests.conftest import StartWorker

if TYPE_CHECKING:
    from playwright.sync_api import Page

DELIVERED = 30  # seconds a delivery may take on a busy machine


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path / "mail") as server:
        yield server


def test_the_separated_word_is_red_at_once_and_joins_nothing(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("jane,")
    assert chips(page) == [["jane", False]]
    page.keyboard.type("bob@example.org;carl@example.org")
    page.keyboard.press("Enter")
    assert chips(page) == [["jane", False], ["bob@example.org", True], ["carl@example.org", True]]
    assert page.locator("#id_to_error").inner_text() == "“jane” is not a valid email address."


def test_an_invalid_address_blocks_send(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Subject").fill("Never sent")
    to_field(page).focus()
    page.keyboard.type("bob@example.org, jane")
    page.keyboard.press("Control+Enter")
    page.locator(".address-chip.invalid .chip-name:focus").wait_for()
    assert "“jane”" in page.get_by_role("alert").filter(has_text="valid email address").inner_text()
    page.keyboard.press("Enter")  # edit it
    assert to_field(page).input_value() == "jane"
    page.keyboard.type("jane@example.org")
    page.keyboard.press("Enter")
    assert chips(page) == [["bob@example.org", True], ["jane@example.org", True]]
    assert page.locator("#id_to_error").inner_text() == ""
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="Never sent").wait_for()
    sent = Message.objects.get().recipients.order_by("pk").values_list("address", flat=True)
    assert list(sent) == ["bob@example.org", "jane@example.org"]


def test_editing_chips_by_keys_never_joins_them(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("ann@example.org,bob@example.org,")
    page.keyboard.press("Backspace")  # goes to the chip; what is typed now is another recipient
    page.keyboard.type("jane@example.org,")
    assert [entry for entry, _ in chips(page)] == [
        "ann@example.org", "bob@example.org", "jane@example.org",
    ]  # fmt: skip
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("F2")  # bob's text, selected
    page.keyboard.type("carl@example.org")
    page.keyboard.press("Tab")
    assert [entry for entry, _ in chips(page)] == [
        "ann@example.org", "jane@example.org", "carl@example.org",
    ]  # fmt: skip
    to_field(page).focus()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.press("Delete")
    assert [entry for entry, _ in chips(page)] == ["ann@example.org"]
    page.keyboard.press("Control+z")
    page.keyboard.type("x")
    assert to_field(page).input_value() == "x"


def test_a_click_on_a_chip_and_typing_adds_another_recipient(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("bob@example.org,jane,")
    page.locator(".address-chip .chip-name").first.click()
    page.keyboard.type("carl@example.org,")
    page.locator(".address-chip.invalid .chip-name").click()
    page.keyboard.type("jane@example.org,")
    assert [entry for entry, _ in chips(page)] == [
        "bob@example.org", "carl@example.org", "jane@example.org",
    ]  # fmt: skip


def test_a_suggestion_replaces_only_what_it_was_found_for(page: "Page", anna: User) -> None:
    Contact.of(anna.pk, parse_address("Jack <jack@example.com>"), is_kept=True).save()
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("jane,ja")
    page.locator("#id_to_options [aria-selected=true]").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.type("bob@example.org ja")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert chips(page) == [
        ["jane", False], ["Jack <jack@example.com>", True], ["bob@example.org ja", False],
    ]  # fmt: skip


def test_an_input_method_composes_in_peace(page: "Page") -> None:
    write_new(page)
    to_field(page).focus()
    session = page.context.new_cdp_session(page)
    session.send(
        "Input.imeSetComposition", {"text": "wang，", "selectionStart": 5, "selectionEnd": 5}
    )
    assert chips(page) == []
    session.send("Input.insertText", {"text": "王，"})
    assert chips(page) == [["王", False]]
    page.keyboard.type("wang@example.cn")
    session.send("Input.insertText", {"text": "；"})
    assert chips(page) == [["王", False], ["wang@example.cn", True]]


def test_the_smtp_server_receives_what_was_typed(
    page: "Page", server: MailServer, start_worker: StartWorker
) -> None:
    Account.objects.update(host=server.host, port=server.port, security=Security.NONE, username="")
    start_worker()
    write_new(page)
    to_field(page).focus()
    page.keyboard.type("taro..suzuki@mobile.example.jp，.taro@example.jp;")
    to_field(page).evaluate(PASTE, "Doe, John <john@example.org>\nAnn Lee\tann@example.net\r\n")
    page.keyboard.type(f"{'t' * 70}@example.org x@i❤.example")
    page.keyboard.press("Tab")
    page.get_by_text("Cc, Bcc").click()
    page.get_by_label("Bcc", exact=True).focus()
    page.keyboard.type('"Lee, Bo" <bo@example.net>')
    page.get_by_label("Subject").fill("To all")
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="To all").wait_for()
    deadline = time.monotonic() + DELIVERED
    while not (entries := server.entries()):
        assert time.monotonic() < deadline, page.locator("#main").inner_text()
        page.wait_for_timeout(100)
    received = {address for entry in entries for address in entry.accepted}
    assert received == {
        "taro..suzuki@mobile.example.jp", ".taro@example.jp", "john@example.org", "ann@example.net",
        f"{'t' * 70}@example.org", "x@xn--i-7iq.example", "bo@example.net",
    }  # fmt: skip


def test_without_a_recipient_the_field_says_so_and_has_the_focus(page: "Page") -> None:
    write_new(page)
    page.locator("#id_to_entry:focus").wait_for()
    page.get_by_label("Text").fill("The plan is attached.")
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").get_by_text("Enter at least one recipient.").wait_for()
    page.locator("#id_to_entry[aria-invalid=true][aria-describedby=id_to_error]:focus").wait_for()
    assert page.get_by_text("The subject is empty.").count() == 0
    page.get_by_label("Subject").focus()
    page.keyboard.type("Plan")
    with saved(page, "The plan is attached."):  # saving finds no fault, and removes none
        pass
    page.locator("#id_to_error").get_by_text("Enter at least one recipient.").wait_for()
    to_field(page).focus()
    page.keyboard.type("bob@example.org,")
    page.locator("#id_to_error").wait_for(state="hidden")
    page.keyboard.press("Control+Enter")
    page.locator(".send-warnings:focus").wait_for()


def test_every_error_of_the_server_is_still_displayed_beside_the_scripts(
    page: "Page", anna: User
) -> None:
    write_new(page)
    Account.objects.all().delete()
    page.get_by_role("button", name="Schedule send").click()
    page.get_by_label("Another time").fill("2001-01-01T09:00")
    page.locator("#send").click()
    page.locator("#id_account[aria-invalid=true]:focus").wait_for()
    for field in ("account", "to", "send_at"):
        assert page.locator(f"#id_{field}_error").text_content(), field
        assert page.locator(f"[aria-describedby~=id_{field}_error]:not([hidden])").count() == 1
