"""Every page, wide and narrow, light and dark: it fits, axe finds no fault, it keeps its policy.

The pictures it takes are kept in `.cache/pictures`, to be looked at.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # no types
from django.contrib.auth.models import User
from django.urls import reverse

from outbox.models import Message
from tests.browser.scenes import busy_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

PICTURES = Path(".cache/pictures")
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
THEMES = ("light", "dark")
MISSING = "/nowhere/"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Which of axe's rules are asked: all of them once, and what a theme can break for each theme.
RULES: dict[tuple[str, str], dict[str, Any]] = {
    ("wide", "light"): {"resultTypes": ["violations"]},
    ("wide", "dark"): {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
# Mails of `busy_site` whose pages are looked at.
MAILS = ("partial", "sent", "deferred", "uncertain", "forty", "sending", "held", "long", "letter")
HUGE = {"message-forty", "message-files", "message-headers"}  # more of the same, and slow to judge
Theme = Literal["light", "dark"]
PASSWORD = "correct horse"


@pytest.fixture
def anna(transactional_db: None) -> User:
    return User.objects.create_user("anna", password=PASSWORD)


def addresses(shown: dict[str, Message]) -> dict[str, str]:
    """Name the pages worth a picture."""
    pages = {f"message-{name}": reverse("outbox:message", args=[shown[name].pk]) for name in MAILS}
    partial = pages["message-partial"]
    return pages | {
        "message-html": f"{pages['message-letter']}?show=html",
        "message-headers": f"{partial}?show=headers",
        "message-source": f"{partial}?show=raw",
        "message-files": f"{partial}?show=parts",
        "outbox": reverse("outbox:list"),
        "sent": reverse("outbox:folder", args=["sent"]),
        "drafts": reverse("outbox:folder", args=["drafts"]),
        "failed": reverse("outbox:folder", args=["failed"]),
        "scheduled-empty": reverse("outbox:folder", args=["scheduled"]),
        "compose": reverse("outbox:compose"),
        "draft": reverse("outbox:draft", args=[shown["draft"].pk]),
        "accounts": reverse("outbox:accounts"),
        "account-begin": reverse("outbox:account-add"),
        "account-add": f"{reverse('outbox:account-add')}?address=anna@gmail.com",
        "account": reverse("outbox:account", args=[shown["draft"].account_id]),
        "retry": reverse("outbox:retry", args=[shown["partial"].pk]),
        "cancel": reverse("outbox:cancel", args=[shown["deferred"].pk]),
        "settle": reverse("outbox:settle", args=[shown["uncertain"].pk]),
        "password": reverse("password_change"),
        "missing": MISSING,
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES)
def test_each_page_fits_is_accessible_and_keeps_its_policy(
    browser: "Browser", live_server: Any, anna: User, size: str, theme: Theme
) -> None:
    shown = busy_site(anna)
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale="en",
        reduced_motion="reduce",
    )
    album = Album(context.new_page(), f"{size}-{theme}", RULES.get((size, theme)))
    album.visit("login", reverse("login"))
    sign_in(album.page)
    for name, address in addresses(shown).items():
        album.visit(name, address)
    for name, act in ACTS.items():
        act(album.page, shown)
        album.keep(name)
    context.close()
    assert "\n".join(album.complaints) == ""


def sign_in(page: "Page") -> None:
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Outbox").wait_for()


class Album:
    """Takes the pictures of one size and theme, and looks at each page for faults."""

    def __init__(self, page: "Page", suffix: str, rules: dict[str, Any] | None) -> None:
        self.page = page
        self.suffix = suffix
        self.rules = rules
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, said: "ConsoleMessage") -> None:
        # That a page answered with 404 or 422 is told in the console too.
        if said.type in {"error", "warning"} and "Failed to load resource" not in said.text:
            self.complaints.append(said.text)

    def visit(self, name: str, address: str) -> None:
        """Open a page and keep its picture."""
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.status == (404 if address == MISSING else 200), address
        self.keep(name)

    def keep(self, name: str) -> None:
        """Keep a picture of the page as it stands, and what is wrong with it."""
        for frame in self.page.locator("iframe:visible").all():
            frame.content_frame.locator("body > *").first.wait_for()
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}-{self.suffix}.png", full_page=True)
        if self.page.evaluate(OVERFLOW) > 0:
            self.complaints.append(f"{name} overflows sideways")
        if self.rules is not None and name not in HUGE:
            self._check(name, self.rules)

    def _check(self, name: str, rules: dict[str, Any]) -> None:
        for fault in Axe().run(self.page, options=rules).response["violations"]:
            places = ", ".join(node["html"][:100] for node in fault["nodes"][:3])
            self.complaints.append(f"{name}: {fault['id']} ({fault['impact']}): {places}")


def wrong_draft(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:compose"))
    page.get_by_label("To", exact=True).fill("jane@example.com, nobody@")
    page.get_by_label("Subject").fill("Figures")
    page.get_by_role("button", name="Send").click()
    page.locator("#id_to_error").wait_for()


def conflict(page: "Page", shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:draft", args=[shown["draft"].pk]))
    page.locator("[name=version]").evaluate("field => { field.value = 0 }")
    page.get_by_label("Text").fill("Dear Jane,\n\nthank you for your call yesterday.\n")
    page.get_by_role("button", name="Save draft").click()
    page.get_by_role("heading", name="This draft was changed elsewhere").wait_for()


def dialog(page: "Page", shown: dict[str, Message]) -> None:
    page.goto(reverse("outbox:message", args=[shown["partial"].pk]))
    page.get_by_role("link", name="Try again").click()
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
    page.get_by_text("It does not work yet.").wait_for()


def wrong_account(page: "Page", _shown: dict[str, Message]) -> None:
    page.goto(f"{reverse('outbox:account-add')}?address=")
    page.get_by_label("Server", exact=True).fill("not a host")
    page.get_by_role("button", name="Save account").click()
    page.locator("#id_host_error").wait_for()


ACTS: dict[str, Callable[["Page", dict[str, Message]], None]] = {
    "compose-wrong": wrong_draft,
    "compose-conflict": conflict,
    "dialog": dialog,
    "menu": menu,
    "account-test-failed": failed_connection,
    "account-wrong": wrong_account,
}
