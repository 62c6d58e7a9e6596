"""Writing a message: recipients, formatting, files, schedule, signature, warnings."""

import base64
import datetime as dt
import email
import email.policy
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from outbox.mail.addresses import parse_address
from outbox.models import Account, Contact, Message, Preferences, State, Status, Template
from tests.browser.scenes import account, mail
from tests.browser.writing import saved, write_new

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# Drops or pastes a file as the desktop does: no script may fill a real clipboard.
HAND_OVER = """([kind, name, type, data, target]) => {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const options = { bubbles: true, cancelable: true };
    const event = kind === "drop"
        ? new DragEvent("drop", { ...options, dataTransfer: transfer })
        : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.fixture(autouse=True)
def anna(writer: User) -> User:
    return writer


def hand_over(page: "Page", kind: str, name: str, content_type: str, target: str) -> None:
    data = base64.b64encode(PNG).decode()
    page.evaluate(HAND_OVER, [kind, name, content_type, data, target])


def chips(page: "Page") -> list[str]:
    return page.locator(".chip-name bdi:first-child").all_inner_texts()


def test_a_wrong_address_is_shown_when_one_leaves_it_however_long_one_stayed(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).fill("unknown(at)example.org")
    page.locator("#saved", has_text="Saved").wait_for()  # so the server has said what is wrong
    assert page.locator("#id_to_error").count() == 0
    page.get_by_label("Subject").focus()
    page.locator("#id_to_error").get_by_text("has no @").wait_for()


def test_recipients_become_chips_which_keys_edit_and_remove(page: "Page") -> None:
    write_new(page)
    to = page.get_by_label("To", exact=True)
    to.press_sequentially("Jane Doe <jane@example.com>, joe@example")
    to.press("Enter")
    assert chips(page) == ["Jane Doe", "joe@example"]
    to.press_sequentially("unknown(at)example.org")
    page.get_by_label("Subject").fill("Chips")
    page.locator("#id_to_error").get_by_text("has no @").wait_for()
    assert to.get_attribute("aria-invalid") == "true"
    page.get_by_role("button", name="Remove unknown(at)example.org").click()
    page.get_by_label("Subject").fill("Chips without")
    page.locator("#id_to_error").get_by_text("has no @").wait_for(state="hidden")
    to.focus()
    to.press("Backspace")
    page.keyboard.press("Enter")  # the last chip is text again
    assert to.input_value() == "joe@example"
    to.fill("")
    to.press("ArrowLeft")
    page.keyboard.press("Delete")
    assert chips(page) == []


def test_a_pasted_list_becomes_chips_once_each(page: "Page") -> None:
    write_new(page)
    to = page.get_by_label("To", exact=True)
    to.evaluate(
        """(field) => {
            const data = new DataTransfer();
            data.setData("text/plain", 'a@x.test; "B, C" <b@x.test>\\na@X.test, wrong');
            const options = { clipboardData: data, bubbles: true, cancelable: true };
            field.dispatchEvent(new ClipboardEvent("paste", options));
        }"""
    )
    assert chips(page) == ["a@x.test", "B, C", "wrong"]
    assert page.locator(".address-chip.invalid").inner_text().startswith("wrong")


def test_contacts_are_offered_while_an_address_is_typed(page: "Page", anna: User) -> None:
    for text in ("Jane Doe <jane@example.com>", "Jack <jack@example.com>", "zoe@example.com"):
        Contact.of(anna.pk, parse_address(text), is_kept=True).save()
    write_new(page)
    to = page.get_by_label("To", exact=True)
    to.press_sequentially("ja")
    options = page.locator("#id_to_options").get_by_role("option")
    options.nth(1).wait_for()
    assert [text.split()[0] for text in options.all_inner_texts()] == ["Jack", "Jane"]
    assert to.get_attribute("aria-expanded") == "true"
    to.press("ArrowDown")
    to.press("Enter")
    assert chips(page) == ["Jane Doe"]
    to.press_sequentially("zzz")
    assert page.locator("#id_to_options").get_by_role("option").count() == 0
    to.press("Control+a")
    to.press_sequentially("zoe")
    options.first.wait_for()
    to.press("Escape")
    options.first.wait_for(state="hidden")
    to.press("Control+a")
    to.press("Delete")
    with saved(page, "Chosen by keyboard"):
        page.get_by_label("Text").fill("Chosen by keyboard")
    assert Message.objects.get().draft.to == "Jane Doe <jane@example.com>"


def test_formatted_text_goes_out_as_html_with_a_text_beside_it(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Bold words")
    page.get_by_role("button", name="Rich text").click()
    text = page.locator(".rich").and_(page.get_by_role("textbox", name="Text"))
    text.press_sequentially("These are ")
    page.get_by_role("button", name="Bold").click()
    text.press_sequentially("bold")
    assert page.get_by_role("button", name="Bold").get_attribute("aria-pressed") == "true"
    hand_over(page, "paste", "dot.png", "image/png", ".rich")
    page.locator(".rich img").wait_for()
    assert page.locator(".rich img").evaluate("img => img.decode().then(() => img.naturalWidth)")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Bold words").wait_for()
    sent = email.message_from_bytes(
        Message.objects.get().source.read(), policy=email.policy.default
    )
    kinds = [part.get_content_type() for part in sent.walk()]
    assert kinds == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    plain, html, picture = (part for part in sent.walk() if not part.is_multipart())
    assert "These are bold" in plain.get_content()
    assert "<strong>bold</strong>" in html.get_content()
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in html.get_content()
    assert picture.get_content() == PNG


def test_a_formatted_draft_opens_formatted_and_can_become_plain(page: "Page") -> None:
    write_new(page)
    page.get_by_role("button", name="Rich text").click()
    page.locator(".rich").press_sequentially("Plain again")
    with saved(page, "Plain again"):
        pass
    page.reload()
    page.locator(".rich").get_by_text("Plain again").wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Plain text").click()
    page.locator("textarea#id_text").wait_for()
    page.get_by_label("Text", exact=True).fill("Plain for good")
    with saved(page, "Plain for good"):
        pass
    assert Message.objects.get().draft.html == ""


def test_files_can_be_chosen_dropped_pasted_and_removed(page: "Page") -> None:
    write_new(page)
    page.get_by_label("Attach files").set_input_files(
        {"name": "figures.csv", "mimeType": "text/csv", "buffer": b"1;2;3\r\n"}
    )
    page.get_by_role("link", name="figures.csv").wait_for()
    hand_over(page, "drop", "plan.pdf", "application/pdf", "#compose")
    page.get_by_role("link", name="plan.pdf").wait_for()
    hand_over(page, "paste", "shot.png", "image/png", "#id_text")
    page.get_by_role("link", name="shot.png").wait_for()
    page.get_by_role("button", name="Remove plan.pdf").click()
    page.get_by_role("link", name="plan.pdf").wait_for(state="detached")
    names = Message.objects.get().attachments.values_list("name", flat=True)
    assert list(names) == ["figures.csv", "shot.png"]


def test_a_file_on_its_way_has_a_bar_and_send_waits_for_it(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Large")
    session = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000}
    session.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Attach files").set_input_files(
        {"name": "large.bin", "mimeType": "application/x-thing", "buffer": b"x" * 800_000}
    )
    page.get_by_role("progressbar", name="Uploading large.bin").wait_for()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Large").wait_for()
    assert Message.objects.get().attachments.get().size == 800_000


def test_a_file_that_is_too_large_is_refused_at_once(page: "Page", settings: Settings) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 100_000}
    write_new(page)
    page.get_by_label("Attach files").set_input_files(
        {"name": "huge.bin", "mimeType": "application/x-thing", "buffer": b"x" * 100_001}
    )
    page.get_by_role("alert").filter(has_text="huge.bin").wait_for()
    page.get_by_role("button", name="Remove huge.bin").click()
    assert page.get_by_text("huge.bin").count() == 0
    assert not Message.objects.exists()


def test_a_message_can_be_sent_tomorrow_at_nine(page: "Page", anna: User) -> None:
    Preferences.objects.create(user=anna, time_zone="Asia/Tokyo")
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("In the morning")
    page.get_by_role("button", name="Schedule send").click()
    page.get_by_role("button", name="Tomorrow").click()
    page.locator("#now").get_by_text("Scheduled for").wait_for()
    mail = Message.objects.get()
    assert mail.status == Status.SCHEDULED
    assert mail.send_at is not None
    tokyo = timezone.localtime(mail.send_at, dt.timezone(dt.timedelta(hours=9)))
    assert (tokyo.hour, tokyo.minute) == (9, 0)
    assert mail.recipients.get().next_attempt_at == mail.send_at


def test_a_time_of_one_s_own_is_kept_shown_and_refused_once_past(page: "Page") -> None:
    write_new(page)
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("In 2071")
    page.get_by_role("button", name="Schedule send").click()
    page.get_by_label("Another time").fill("2001-01-01T09:00")
    page.locator("#send").get_by_text("Schedule send").wait_for()
    page.locator("#later").get_by_role("button", name="Schedule send").click()
    page.get_by_text("That time has passed.").wait_for()
    page.locator("#id_send_at:focus").wait_for()
    page.get_by_label("Another time").fill("2071-01-01T09:00")
    page.get_by_role("button", name="Save draft").click()
    page.locator(".scheduled").get_by_text("2071").wait_for()
    page.locator("#send").click()
    page.locator("#now").get_by_text("Scheduled for").wait_for()


def test_warnings_before_sending_are_shown_once(page: "Page", anna: User) -> None:
    mail(Account.objects.get(), "Earlier", [("gone@example.org", State.FAILED)])
    write_new(page)
    page.get_by_label("To", exact=True).fill("gone@example.org")
    page.get_by_label("Text").fill("The plan is attached.")
    page.get_by_role("button", name="Send", exact=True).click()
    warning = page.get_by_role("alert", name="Check before sending")
    warning.wait_for()
    said = warning.inner_text()
    assert "The text says “attached”, but nothing is attached." in said
    assert "The subject is empty." in said
    assert "550 5.1.1 <gone@example.org>: Recipient address rejected" in said
    page.get_by_role("button", name="Send anyway").click()
    page.get_by_role("heading", name="(no subject)").wait_for()


def open_templates(page: "Page") -> "Locator":
    page.get_by_role("link", name="Template", exact=True).click()
    page.locator("#dialog .insert:not(.htmx-added)").wait_for()  # htmx has taken it over
    return page.get_by_role("dialog", name="Insert a template")


def test_a_template_is_filled_in_before_one_s_eyes_and_taken(page: "Page", anna: User) -> None:
    words = {"subject": "Quote for {{ name }}", "text": "Dear {{ name }},"}
    Template.objects.create(owner=anna, name="Quote", **words)
    write_new(page)
    dialog = open_templates(page)
    dialog.get_by_label("Template").select_option(label="Quote")
    dialog.get_by_text("Dear {{ name }},").wait_for()
    dialog.get_by_label("name", exact=True).press_sequentially("Jane")
    dialog.get_by_text("Dear Jane,").wait_for()
    dialog.get_by_role("button", name="Insert").click()
    dialog.wait_for(state="hidden")
    assert page.get_by_label("Subject").input_value() == "Quote for Jane"
    assert page.locator("#id_text").input_value() == "Dear Jane,"
    with saved(page, "Dear Jane,"):
        pass


def test_a_formatted_template_opens_the_editor(page: "Page", anna: User) -> None:
    Template.objects.create(owner=anna, name="Rich", html="<p>Dear <b>{{ name }}</b></p>")
    write_new(page)
    dialog = open_templates(page)
    dialog.get_by_label("Template").select_option(label="Rich")
    dialog.get_by_role("button", name="Insert").click()
    page.locator(".rich strong").get_by_text("{{ name }}").wait_for()
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_label("Subject").fill("Forgotten")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Fill in the placeholder {{ name }}.").wait_for()


def test_another_account_brings_its_own_signature(page: "Page", anna: User) -> None:
    Account.objects.update(signature="Anna, Work")
    account(anna, "Private", "anna@example.net")
    Account.objects.filter(name="Private").update(signature="Love, A.")
    write_new(page)
    page.get_by_label("From").select_option(label="Anna Lindqvist <anna@example.com>")
    text = page.locator("#id_text")
    assert text.input_value().endswith("-- \nAnna, Work")
    text.press("Control+Home")
    text.press_sequentially("Hi")
    page.get_by_label("From").select_option(label="Anna Lindqvist <anna@example.net>")
    assert text.input_value() == "Hi\n\n-- \nLove, A."


def test_without_scripts_the_form_is_plain_and_works(page: "Page", anna: User) -> None:
    browser = page.context.browser
    assert browser is not None
    write_new(page)
    context = browser.new_context(
        java_script_enabled=False, storage_state=page.context.storage_state()
    )
    bare = context.new_page()
    bare.goto(page.url)
    bare.get_by_label("To", exact=True).fill("jane@example.com")
    bare.get_by_label("Subject").fill("By hand")
    bare.get_by_label("Text").fill("No script")
    bare.get_by_role("button", name="Send", exact=True).click()
    bare.get_by_role("heading", name="By hand").wait_for()
    context.close()
