"""From signing in to both servers' replies: what the whole system is for, in a real browser.

Everything is real: the site, Redis, a Celery worker, a mail server on loopback. The page is never
loaded again by the test; it follows the delivery by itself.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Account, Security
from outbox.testing.mailserver import MailServer
from tests.browser.writing import PASSWORD, saved, sign_in
from tests.conftest import StartWorker

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

DELIVERED = 30_000  # milliseconds a delivery may take on a busy machine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    with MailServer(tmp_path / "mail", slow_after=2) as server:
        yield server


@pytest.fixture
def anna(transactional_db: None, server: MailServer) -> User:
    """A user with an account on the local mail server."""
    anna = User.objects.create_user("anna", password=PASSWORD)
    Account.objects.create(
        owner=anna,
        name="Work",
        from_name="Anna",
        from_address="anna@example.com",
        host=server.host,
        port=server.port,
        security=Security.NONE,
    )
    return anna


def sign_in_by_form(page: "Page") -> None:
    page.goto("/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Outbox").wait_for()


def test_a_message_goes_out_and_its_page_follows_it_to_the_end(
    page: "Page", anna: User, server: MailServer, start_worker: StartWorker
) -> None:
    start_worker()
    sign_in_by_form(page)
    page.get_by_role("banner").get_by_role("link", name="Compose").click()
    page.locator("#id_to_entry").wait_for()
    page.get_by_label("To", exact=True).fill("jane@example.com, reject-me@example.org")
    page.get_by_label("Subject").fill("Figures for Octöber")
    page.get_by_label("Text").fill("Hello,\n.\nthe figures are attached.")
    page.get_by_label("Attach files").set_input_files(
        {"name": "figures.csv", "mimeType": "text/csv", "buffer": b"1;2;3\r\n"}
    )
    page.get_by_text("figures.csv").wait_for()
    page.get_by_role("button", name="Send", exact=True).click()

    jane = page.get_by_role("row").filter(has_text="jane@example.com")
    other = page.get_by_role("row").filter(has_text="reject-me@example.org")
    jane.get_by_text("sent", exact=True).wait_for(timeout=DELIVERED)
    assert "250" in jane.inner_text()
    assert "550 5.1.1 There is no such mailbox here" in other.inner_text()
    assert "after RCPT TO" in other.inner_text()
    dialogue = page.locator(".attempt").first.inner_text()
    assert "RCPT TO:<reject-me@example.org>" in dialogue
    assert "TO:<jane@example.com>" in dialogue

    page.get_by_role("link", name="Attachments").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="figures.csv").click()
    assert download.value.path().read_bytes() == b"1;2;3\r\n"

    (mail,) = server.mailboxes.messages("jane@example.com")
    assert b"reject-me@example.org" in mail.source
    assert len(server.entries()) == 1


def test_a_mistake_is_shown_at_its_field_and_costs_no_word(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("banner").get_by_role("link", name="Compose").click()
    page.locator("#id_to_entry").wait_for()
    page.get_by_label("To", exact=True).fill("jane@")
    page.get_by_label("Subject").fill("Once more")
    page.get_by_label("Text").fill("A long letter")
    page.get_by_label("Attach files").set_input_files(
        {"name": "figures.csv", "mimeType": "text/csv", "buffer": b"1;2;3"}
    )
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator(".address-chip.invalid .chip-name:focus").wait_for()
    assert "jane@" in page.locator("#id_to_error").inner_text()
    assert page.get_by_label("Text").input_value() == "A long letter"
    page.get_by_role("link", name="figures.csv").wait_for()
    with saved(page, "A long letter"):
        pass
    page.reload()
    assert page.get_by_label("Text").input_value() == "A long letter"
    page.locator(".address-chip.invalid .chip-name").click()
    page.get_by_label("To", exact=True).fill("jane@example.com")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Once more").wait_for()


def test_cancellation_is_confirmed_in_a_dialog(page: "Page", anna: User) -> None:
    sign_in(page)
    page.goto("/compose/?to=jane@example.com&subject=Too+soon")
    page.keyboard.press("Tab")
    page.get_by_label("Text").press("Control+Enter")
    page.get_by_role("heading", name="Too soon").wait_for()
    page.get_by_role("link", name="Cancel delivery").click()
    dialog = page.get_by_role("dialog", name="Cancel delivery?")
    dialog.wait_for()
    dialog.get_by_role("link", name="Do not cancel").click()
    dialog.wait_for(state="hidden")
    page.get_by_role("link", name="Cancel delivery").click()
    dialog.get_by_role("button", name="Cancel delivery").click()
    page.get_by_text("Delivery cancelled: 1 recipient.").wait_for()
    assert page.locator(".now").get_by_text("cancelled", exact=True).is_visible()


@pytest.mark.system
def test_what_is_open_stays_open_while_the_page_refreshes_itself(
    page: "Page", anna: User, start_worker: StartWorker
) -> None:
    sign_in(page)
    page.goto("/compose/?to=slow-one@example.com&subject=Patience")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="Patience").wait_for()
    cancel = page.get_by_role("link", name="Cancel delivery")
    cancel.focus()
    start_worker()
    page.locator(".now").get_by_text("sending", exact=True).wait_for(timeout=DELIVERED)
    assert cancel.evaluate("link => link === document.activeElement")
    attempt = page.locator("details.attempt").first
    attempt.locator("summary").click()
    assert not attempt.evaluate("details => details.open")
    page.locator(".now").get_by_text("sent", exact=True).wait_for(timeout=DELIVERED)
    assert not attempt.evaluate("details => details.open")


@pytest.mark.system
def test_the_outbox_empties_before_one_s_eyes(
    page: "Page", anna: User, start_worker: StartWorker
) -> None:
    sign_in(page)
    page.goto("/compose/?to=jane@example.com&subject=On+its+way")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("heading", name="On its way").wait_for()
    page.get_by_role("link", name="Outbox 1 message").click()
    page.get_by_role("link", name="On its way").wait_for()
    start_worker()
    page.get_by_role("heading", name="Nothing is waiting to be sent").wait_for(timeout=DELIVERED)
    page.get_by_role("link", name="Sent").click()
    page.get_by_role("link", name="On its way").wait_for()


def test_a_page_that_gets_no_response_shows_a_warning(page: "Page", anna: User) -> None:
    sign_in(page)
    warning = page.get_by_text("The site does not respond.")
    assert warning.is_hidden()
    page.context.set_offline(True)
    warning.wait_for()
    page.context.set_offline(False)
    warning.wait_for(state="hidden")


@pytest.mark.usefixtures("connection_tester")
def test_a_connection_is_tested_without_losing_what_was_typed(
    page: "Page", anna: User, server: MailServer
) -> None:
    sign_in(page)
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="Add an account").click()
    page.get_by_label("Your email address").fill("anna@example.invalid")
    page.get_by_role("button", name="Continue").click()
    assert page.get_by_label("Your email address").input_value() == "anna@example.invalid"
    page.get_by_label("Server", exact=True).fill(server.host)
    page.get_by_label("Port").fill(str(server.port))
    page.get_by_label("Username").fill("")
    page.get_by_label("None (not encrypted)").check()
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connected.").wait_for()
    assert page.get_by_label("Your email address").input_value() == "anna@example.invalid"
    page.get_by_label("Account name").fill("Home")
    page.get_by_role("button", name="Save account").click()
    page.get_by_text("Account saved.").wait_for()


@pytest.mark.usefixtures("connection_tester")
def test_the_first_page_shows_the_steps_of_a_connection_test(page: "Page", anna: User) -> None:
    errors: list[str] = []
    page.on("console", lambda entry: errors.append(entry.text) if entry.type == "error" else None)
    page.set_viewport_size({"width": 1280, "height": 860})
    sign_in(page)
    buttons = page.locator("#start li > form .button, #start li > .button").all()
    assert len({edge_of(button) for button in buttons}) == 1  # below each other
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connected.").wait_for()
    lines = page.locator("#start .steps li").evaluate_all("""(lines) => lines.map((line) => {
        const [name, time] = ["step", "ms"].map((part) => line.getElementsByClassName(part)[0]);
        return time.getBoundingClientRect().top < name.getBoundingClientRect().bottom
            && name.clientHeight < 30;
    })""")
    assert lines
    assert all(lines)
    assert not errors


def edge_of(button: "Locator") -> float:
    """Return where the button ends on the right."""
    box = button.bounding_box()
    assert box is not None
    return round(box["x"] + box["width"])


@pytest.mark.usefixtures("anna")
def test_the_parts_of_an_account_are_cards_below_each_other(page: "Page") -> None:
    page.set_viewport_size({"width": 1280, "height": 860})
    sign_in(page)
    page.goto(reverse("outbox:account", args=[Account.objects.get().pk]))
    boxes = [card.bounding_box() for card in page.locator("main .card").all()]
    cards = [box for box in boxes if box is not None]
    assert len({round(card["width"]) for card in cards}) == 1
    gaps = [round(below["y"] - above["y"] - above["height"]) for above, below in pairwise(cards)]
    assert min(gaps) > 5
    buttons = [button.bounding_box() for button in page.locator("main form > .bar > *").all()]
    assert len({round(box["y"]) for box in buttons if box is not None}) == 1  # in one line


def test_signing_out_ends_the_session(page: "Page", anna: User) -> None:
    sign_in(page)
    page.get_by_role("button", name="Menu of anna").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.goto("/")
    page.get_by_role("heading", name="Sign in").wait_for()
