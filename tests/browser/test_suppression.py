"""The suppression list in a browser: from a rejected recipient to a released message, and files."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox import api
from outbox.delivery import claim
from outbox.models import Account, Destination, Message, State, Suppression
from tests.browser import scenes
from tests.browser.album import CHINESE, open_album
from tests.browser.test_history import look
from tests.browser.writing import authenticate
from tests.integration.delivery.mail_client import a_worker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIST = reverse("admin:outbox_suppression_changelist")
BOB = "bob@example.org"
EVIDENCE = "550 5.1.1 <bob@example.org>: Recipient address rejected"


def staff(anna: User) -> None:
    User.objects.filter(pk=anna.pk).update(is_staff=True, is_superuser=True)


def claim_everything(sender: Account) -> None:
    """Claim what is due, as a worker does; suppressed recipients are held."""
    destination = Destination.objects.get(account=sender)
    claim.claim(
        destination_id=destination.pk,
        worker_id=a_worker().pk,
        limit=100,
        after_sender=0,
        using="default",
    )


def test_from_a_rejected_recipient_to_a_released_message(page: "Page", anna: User) -> None:
    sender = scenes.account(anna)
    rejected = scenes.mail(sender, "Invoice", [(BOB, State.FAILED)])
    authenticate(page)
    page.goto(reverse("outbox:message", args=[rejected.pk]))
    page.get_by_role("link", name="Suppress this address").click()
    page.get_by_role("heading", name=f"Suppress {BOB}?").wait_for()
    page.get_by_text("User unknown in virtual mailbox table").wait_for()
    page.get_by_role("button", name="Suppress address").click()
    page.get_by_text("Address suppressed.").wait_for()

    page.goto(reverse("outbox:account-suppressions", args=[sender.pk]))
    entry = page.get_by_role("listitem").filter(has_text=BOB)
    entry.get_by_text("User unknown in virtual mailbox table").wait_for()

    later = scenes.mail(sender, "Reminder", [(BOB, State.QUEUED)])
    claim_everything(sender)
    page.goto(reverse("outbox:message", args=[later.pk]))
    page.get_by_text("Held until a user releases it.").first.wait_for()
    page.get_by_role("link", name="Release").click()
    page.get_by_role("button", name="Release").click()
    page.get_by_text("In the queue.").or_(
        page.get_by_text("No worker is running.")
    ).first.wait_for()
    claim_everything(sender)
    assert later.recipients.get().state == State.SENDING

    page.goto(reverse("outbox:account-suppressions", args=[sender.pk]))
    page.get_by_role("button", name=f"Remove {BOB}").click()
    page.get_by_role("heading", name="No address is suppressed").wait_for()
    assert api.suppressed([BOB], sender) == {}


def test_an_owner_adds_and_finds_addresses(page: "Page", anna: User) -> None:
    sender = scenes.account(anna)
    waiting = scenes.mail(sender, "Reminder", [(BOB, State.QUEUED)])
    authenticate(page)
    page.goto(reverse("outbox:account-suppressions", args=[sender.pk]))
    page.get_by_label("Address", exact=True).fill(BOB)
    page.get_by_role("button", name="Suppress address").click()
    page.get_by_text("Address suppressed.").wait_for()
    assert waiting.recipients.get().state == State.HELD
    page.get_by_label("Beginning of an address").fill("carl")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="No address begins with “carl”").wait_for()


def test_operators_add_import_and_export(page: "Page", anna: User, tmp_path: Path) -> None:
    staff(anna)
    scenes.account(anna, "Newsletter")
    authenticate(page)
    page.goto(LIST)
    page.locator(".object-tools").get_by_role("link", name="Add").click()
    page.get_by_label("Address:").fill(BOB)
    page.get_by_label("Reason:").select_option("undeliverable")
    page.get_by_label("Evidence:").fill(EVIDENCE)
    page.get_by_role("button", name="Save", exact=True).click()
    row = page.get_by_role("row", name=BOB)
    row.get_by_text("the whole site").wait_for()
    row.get_by_text(EVIDENCE).wait_for()

    file = tmp_path / "list.csv"
    file.write_text("address,account,reason\neve@example.org,,complained\nno address,,\n")
    page.get_by_role("link", name="Import").click()
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    page.get_by_text("Added: 1. Replaced: 0. Rejected: 1.").wait_for()
    page.get_by_text("Lines that were rejected:").wait_for()
    page.get_by_role("row", name="eve@example.org").wait_for()

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text()
    assert BOB in text
    assert EVIDENCE in text
    assert "complained" in text

    page.locator("#searchbar").fill("bob")
    page.locator("#searchbar").press("Enter")
    assert page.get_by_role("row", name="eve@example.org").count() == 0
    page.get_by_role("row", name=BOB).get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option(index=1)
    page.get_by_role("button", name="Go").click()
    page.locator("input[type=submit]").click()
    page.get_by_role("row", name="eve@example.org").or_(page.locator(".success")).first.wait_for()
    assert list(Suppression.objects.values_list("address", flat=True)) == ["eve@example.org"]


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_its_pages_fit_and_are_accessible(browser: "Browser", live_server: Any, anna: User) -> None:
    sender = scenes.account(anna)
    own = reverse("outbox:account-suppressions", args=[sender.pk])
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("suppression-empty", own)
        failed = fill(sender)
        album.visit("suppression", own)
        keys = "&".join(f"m={message.pk}" for message in failed)
        album.visit("suppression-bulk", f"{reverse('outbox:bulk', args=['retry'])}?{keys}")
        album.page.get_by_text(
            "2 recipients are on a suppression list and will be held."
        ).wait_for()


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
@pytest.mark.parametrize(("locale", "mark"), [("en", ""), (CHINESE, "-chinese")])
def test_the_pages_of_operators_fit(
    browser: "Browser", live_server: Any, anna: User, locale: str, mark: str
) -> None:
    staff(anna)
    sender = scenes.account(anna)
    context = browser.new_context(base_url=live_server.url, locale=locale)
    page = context.new_page()
    authenticate(page)
    look(page, f"suppression-empty{mark}", LIST)
    fill(sender)
    look(page, f"suppression{mark}", LIST)
    look(page, f"suppression-add{mark}", reverse("admin:outbox_suppression_add"))
    look(page, f"suppression-import{mark}", reverse("admin:outbox_suppression_import"))
    entry = Suppression.objects.latest("pk")
    address = reverse("admin:outbox_suppression_change", args=[entry.pk])
    look(page, f"suppression-entry{mark}", address)
    context.close()


def fill(sender: Account) -> list[Message]:
    """Suppress addresses with long and short evidence; return failed messages to some."""
    long = "elektrizitaetenhauptbetriebswerk" * 2 + "@example.org"
    for number, address in enumerate([BOB, long, *(f"reader{n}@example.org" for n in range(5))]):
        api.suppress(
            address,
            account=sender if number % 2 else None,
            reason="bounced" if number % 3 else "Asked by telephone, see ticket 4711",
            evidence=EVIDENCE * (number % 3),
            actor=sender.owner,
        )
    api.suppress(long, account=sender, reason="complained", evidence=EVIDENCE * 8)
    return [
        scenes.mail(sender, f"Invoice {address}", [(address, State.FAILED)])
        for address in (BOB, long, "carl@example.org")
    ]


@pytest.mark.parametrize("locale", ["en", CHINESE])
def test_no_column_of_the_list_is_clipped(
    browser: "Browser", live_server: Any, anna: User, locale: str
) -> None:
    staff(anna)
    until = timezone.now() + dt.timedelta(days=30)
    for number in range(3):
        address = f"customer{number}@domain{number}.example"
        api.suppress(address, reason="bounced", evidence=EVIDENCE, until=until, actor=anna)
    sender = scenes.account(anna)
    api.suppress("dora@example.com", account=sender, tag="newsletter", reason="unsubscribed")
    context = browser.new_context(base_url=live_server.url, locale=locale)
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 860})
    authenticate(page)
    page.goto(LIST)
    hidden = page.locator("#changelist-form .results").evaluate(
        "table => table.scrollWidth - table.clientWidth"
    )
    lines = page.locator(".field-address_shown bdi").first.evaluate(
        "text => text.offsetHeight / parseFloat(getComputedStyle(text).lineHeight)"
    )
    context.close()
    assert hidden <= 0
    assert lines <= 2.5  # broken before the domain only
