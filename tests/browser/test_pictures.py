"""Every page, wide and narrow, light and dark: none overflows sideways, none breaks its policy.

The pictures it takes are kept in `.cache/pictures`, to be looked at.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.browser.scenes import busy_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = Path(".cache/pictures")
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MISSING = "/nowhere/"
OVERFLOW = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    return Array.from(document.querySelectorAll("main *"))
        .filter((one) => one.getBoundingClientRect().right > clientWidth)
        .map((one) => one.outerHTML.slice(0, 80));
}"""
Visit = Callable[[str, str], None]


@pytest.fixture
def anna(transactional_db: None) -> User:
    return User.objects.create_user("anna", password="correct horse")


def addresses(shown: dict[str, Any]) -> dict[str, str]:
    """Name the pages worth a picture."""
    mails = ("partial", "sent", "deferred", "uncertain", "forty", "sending", "held", "long")
    pages = {f"message-{name}": reverse("outbox:message", args=[shown[name].pk]) for name in mails}
    partial = pages["message-partial"]
    return pages | {
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
        "account-add": reverse("outbox:account-add"),
        "account": reverse("outbox:account", args=[shown["draft"].account_id]),
        "retry": reverse("outbox:retry", args=[shown["partial"].pk]),
        "cancel": reverse("outbox:cancel", args=[shown["deferred"].pk]),
        "settle": reverse("outbox:settle", args=[shown["uncertain"].pk]),
        "password": reverse("password_change"),
        "missing": MISSING,
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", THEMES)
def test_no_page_overflows_or_breaks_its_policy(
    browser: "Browser",
    live_server: Any,
    anna: User,
    client: Any,
    size: str,
    theme: Literal["light", "dark"],
) -> None:
    pages = addresses(busy_site(anna))
    client.force_login(anna)
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale="en",
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    _picture(page, reverse("login"), f"login-{size}-{theme}")
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    for name, address in pages.items():
        _picture(page, address, f"{name}-{size}-{theme}")
        assert page.evaluate(OVERFLOW) == [], f"{name} overflows sideways"
    context.close()
    # A page that is not there is told of in the console.
    assert [said for said in complaints if "404" not in said] == []


def _picture(page: "Page", address: str, name: str) -> None:
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == (404 if address == MISSING else 200), address
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
