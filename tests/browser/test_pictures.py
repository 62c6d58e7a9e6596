"""Every page, wide and narrow, light and dark: it fits, axe finds no fault, it keeps its policy."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Message
from tests.browser.album import MISSING, open_album
from tests.browser.scenes import busy_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Messages of `busy_site` whose pages are checked.
MESSAGES = (
    "partial",
    "sent",
    "deferred",
    "uncertain",
    "scheduled",
    "forty",
    "sending",
    "held",
    "long",
    "letter",
)

# Tabs that get a picture of their own, and the message to show.
TABS = {
    "headers": "partial",
    "raw": "partial",
    "parts": "partial",
    "checks": "letter",
    "changes": "partial",
}


def addresses(shown: dict[str, Message]) -> dict[str, str]:
    """Name the pages worth a picture."""
    pages = {
        f"message-{name}": reverse("outbox:message", args=[shown[name].pk]) for name in MESSAGES
    }
    partial = pages["message-partial"]
    return pages | {
        "message-html": f"{pages['message-letter']}?show=html",
        "message-headers": f"{partial}?show=headers",
        "message-source": f"{partial}?show=raw",
        "message-files": f"{partial}?show=parts",
        "message-checks": f"{pages['message-letter']}?show=checks",
        "message-changes": f"{partial}?show=changes",
        "outbox": reverse("outbox:list"),
        "sent": reverse("outbox:folder", args=["sent"]),
        "drafts": reverse("outbox:folder", args=["drafts"]),
        "failed": reverse("outbox:folder", args=["failed"]),
        "failed-by-reply": reverse("outbox:failed-by-reply"),
        "scheduled": reverse("outbox:folder", args=["scheduled"]),
        "cancelled-empty": reverse("outbox:folder", args=["cancelled"]),
        "contacts": reverse("outbox:contacts"),
        "templates-empty": reverse("outbox:templates"),
        "preferences": reverse("outbox:preferences"),
        "search": f"{reverse('outbox:search')}?q=figures",
        "search-nothing": f"{reverse('outbox:search')}?q=nowhere",
        "search-wrong": f"{reverse('outbox:search')}?q=before:soon",
        "compose": reverse("outbox:compose"),
        "draft": reverse("outbox:draft", args=[shown["draft"].pk]),
        "accounts": reverse("outbox:accounts"),
        "account-begin": reverse("outbox:account-add"),
        "account-add": f"{reverse('outbox:account-add')}?address=",
        "account": reverse("outbox:account", args=[shown["draft"].account_id]),
        "hold": reverse("outbox:hold", args=[shown["deferred"].pk]),
        "retry": reverse("outbox:retry", args=[shown["partial"].pk]),
        "cancel": reverse("outbox:cancel", args=[shown["deferred"].pk]),
        "mark-sent": reverse("outbox:mark-sent", args=[shown["uncertain"].pk]),
        "retry-uncertain": reverse("outbox:retry", args=[shown["uncertain"].pk]),
        "bulk": f"{reverse('outbox:bulk', args=['retry'])}?all=1&folder=failed",
        "bulk-nothing": reverse("outbox:bulk", args=["cancel"]),
        "password": reverse("password_change"),
        "search-unknown": f"{reverse('outbox:search')}?q=label:jane",
        "shortcuts": reverse("outbox:shortcuts"),
        "missing": MISSING,
    }


@pytest.mark.system
@pytest.mark.usefixtures("connection_tester")
@pytest.mark.timeout(600)  # half a hundred pages, also on a busy machine
def test_each_page_fits_is_accessible_and_keeps_its_policy(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    shown = busy_site(anna)
    with open_album(browser, live_server.url) as album:
        album.visit("login", reverse("login"))
        album.sign_in()
        for name, address in addresses(shown).items():
            album.visit(name, address)
        for name, open_state in STATES.items():
            open_state(album.page, shown)
            album.keep(name)
        for tab, name in TABS.items():
            album.page.goto(f"{reverse('outbox:message', args=[shown[name].pk])}?show={tab}")
            album.keep_part(f"content-{tab}", "#content")


def wrong_draft(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:compose"))
    page.get_by_label("To", exact=True).fill("jane@example.com, invalid@")
    page.get_by_label("Subject").fill("Figures")
    page.get_by_role("button", name="Send", exact=True).click()
    page.locator("#id_to_error").wait_for()


def conflict(page: "Page", shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:draft", args=[shown["draft"].pk]))
    page.locator("[name=version]").evaluate("field => { field.value = 0 }")
    page.get_by_label("Text").fill("Dear Jane,\n\nthank you for your call yesterday.\n")
    page.get_by_role("button", name="Save draft").click()
    page.get_by_role("heading", name="This draft was changed elsewhere").wait_for()


def dialog(page: "Page", shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:message", args=[shown["partial"].pk]))
    page.get_by_role("link", name="Retry delivery").click()
    page.get_by_role("dialog").wait_for()


def menu(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:list"))
    page.get_by_role("button", name="Menu of anna").click()
    page.get_by_role("button", name="Sign out").wait_for()


def failed_connection(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(f"{reverse('outbox:account-add')}?address=")
    page.get_by_label("Server", exact=True).fill("127.0.0.1")
    page.get_by_label("Port").fill("1")
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("Connection failed").wait_for()


def wrong_account(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(f"{reverse('outbox:account-add')}?address=")
    page.get_by_label("Server", exact=True).fill("not a host")
    page.get_by_role("button", name="Save account").click()
    page.locator("#id_host_error").wait_for()


STATES: dict[str, Callable[["Page", dict[str, Message]], None]] = {
    "compose-wrong": wrong_draft,
    "compose-conflict": conflict,
    "dialog": dialog,
    "menu": menu,
    "account-test-failed": failed_connection,
    "account-wrong": wrong_account,
}
