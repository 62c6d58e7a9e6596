"""A person who never saw the site makes every mistake of the composer, with the keyboard alone.

Nothing may reach a stranger, leave at another time or fail in silence. The pictures are kept beside
those of the other pages.
"""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from outbox.models import Message, Status
from tests.browser.album import Album, open_album
from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TABS = 60  # at most, to anything on a page
ENTRIES = "chips => chips.map((chip) => chip.dataset.entry)"

pytestmark = pytest.mark.usefixtures("writer")


@pytest.mark.system
@pytest.mark.parametrize(("locale", "size"), [("en", "wide"), ("zh-CN", "narrow")])
def test_every_mistake_is_met_with_words_and_sends_nothing_wrong(
    browser: "Browser", live_server: Any, settings: Settings, size: str, locale: str
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"UNDO_PERIOD": 60}
    with open_album(browser, live_server.url, variants=[(size, "light")], locale=locale) as album:
        sign_in_by_keyboard(album.page)
        for mistake in (no_recipient, wrong_recipient, hidden_recipient, past_date, warning):
            album.page.goto(reverse("outbox:compose"))
            album.page.locator("#id_to_entry:focus").wait_for()
            mistake(album.page, Pictures(album, locale))


class Pictures:
    """Pictures of one language, named after the mistake."""

    def __init__(self, album: Album, locale: str) -> None:
        self.album = album
        self.locale = locale

    def keep(self, name: str) -> None:
        self.album.keep(f"mistake-{name}-{self.locale}")


def no_recipient(page: "Page", pictures: Pictures) -> None:
    """Send at once."""
    page.keyboard.press("Control+Enter")
    page.locator("#id_to_entry[aria-invalid=true]:focus").wait_for()
    assert page.locator("#id_to_error").is_visible()
    pictures.keep("no-recipient")
    assert not Message.objects.exclude(status=Status.DRAFT).exists()


def wrong_recipient(page: "Page", pictures: Pictures) -> None:
    """Type a name where an address belongs, and go on."""
    page.keyboard.type("jane,bob@example.org;carl@example.org")
    page.keyboard.press("Enter")
    tab_to(page, "#id_text")
    page.keyboard.type("Hello")
    page.keyboard.press("Control+Enter")
    page.locator(".address-chip.invalid .chip-name:focus").wait_for()
    assert "“jane”" in page.locator("#id_to_error").inner_text()
    pictures.keep("wrong-recipient")
    page.keyboard.press("Enter")
    page.keyboard.type("jane@example.org")
    page.keyboard.press("Enter")
    entries = page.locator("#id_to ~ .chips .address-chip").evaluate_all(ENTRIES)
    assert entries == ["bob@example.org", "carl@example.org", "jane@example.org"]
    tab_to(page, "#id_subject")
    page.keyboard.type("No stranger")
    page.keyboard.press("Control+Enter")
    page.locator("#action-undo:focus").wait_for()
    pictures.keep("sent")
    (sent,) = Message.objects.filter(subject="No stranger")
    assert set(sent.recipients.values_list("address", flat=True)) == set(entries)
    page.keyboard.press("Enter")  # undo
    page.locator("#id_to").wait_for(state="attached")
    Message.objects.filter(pk=sent.pk).delete()


def hidden_recipient(page: "Page", pictures: Pictures) -> None:
    """Type an invalid address in Cc, and collapse Cc."""
    page.keyboard.type("bob@example.org")
    tab_to(page, ".more > summary")
    page.keyboard.press("Enter")
    tab_to(page, "#id_cc_entry")
    page.keyboard.type("carl(at)example.org")
    tab_to(page, ".more > summary", key="Shift+Tab")
    page.keyboard.press("Enter")
    tab_to(page, "#id_subject")
    page.keyboard.press("Control+Enter")
    page.locator("#id_cc ~ .chips .invalid .chip-name:focus").wait_for()
    assert "carl(at)example.org" in page.locator("#id_cc_error").inner_text()
    pictures.keep("hidden-recipient")


def past_date(page: "Page", pictures: Pictures) -> None:
    """Schedule for a time that has passed."""
    page.keyboard.type("bob@example.org")
    tab_to(page, "[popovertarget=later]")
    page.keyboard.press("Enter")
    tab_to(page, "#id_send_at")
    page.keyboard.press("Enter")  # without a time
    page.locator("#id_send_at[aria-invalid=true]:focus").wait_for()
    page.keyboard.type("01012001")  # a date alone
    page.keyboard.press("Enter")
    page.locator("#id_send_at[aria-invalid=true]:focus").wait_for()
    pictures.keep("half-a-date")
    page.keyboard.press("ArrowRight")
    page.keyboard.type("0900AM")
    page.keyboard.press("Enter")
    page.locator("#id_send_at_error", has_text=re.compile("passed|已过")).wait_for()
    page.locator("#id_send_at[aria-invalid=true]:focus").wait_for()
    pictures.keep("past-date")
    assert not Message.objects.exclude(status=Status.DRAFT).exists()


def warning(page: "Page", pictures: Pictures) -> None:
    """Promise an attachment that is missing, for tomorrow."""
    page.keyboard.type("bob@example.org")
    tab_to(page, "#id_text")
    page.keyboard.type("The plan is attached. 见附件。")
    tab_to(page, "[popovertarget=later]")
    page.keyboard.press("Enter")
    tab_to(page, "#later [value=tomorrow]")
    page.keyboard.press("Enter")
    page.locator(".send-warnings:focus").wait_for()
    pictures.keep("warning")
    tab_to(page, "#send")
    page.keyboard.press("Enter")
    page.locator(".now").wait_for()
    pictures.keep("scheduled")
    scheduled = Message.objects.get(status=Status.SCHEDULED)
    assert scheduled.send_at is not None
    tomorrow = timezone.localdate() + dt.timedelta(days=1)
    assert timezone.localtime(scheduled.send_at).date() >= tomorrow


def sign_in_by_keyboard(page: "Page") -> None:
    page.goto(reverse("login"))
    tab_to(page, "[name=username]")
    page.keyboard.type("anna")
    tab_to(page, "[name=password]")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("a.compose").wait_for()
    tab_to(page, "a.compose")
    page.keyboard.press("Enter")
    page.locator("#id_to_entry:focus").wait_for()


def tab_to(page: "Page", selector: str, key: str = "Tab") -> None:
    """Press Tab until this has the focus."""
    for _ in range(TABS):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press(key)
    focus = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    pytest.fail(f"{TABS} times {key} do not lead to {selector}; the focus is on {focus}")
