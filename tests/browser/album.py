"""An album: pictures of pages in one size and theme, and what is wrong with each page.

A page is wrong when it overflows sideways, when axe finds a fault, or when the browser complains
of a script or of the page's policy. The pictures are kept in `.cache/pictures`, to be looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from django.urls import reverse

from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

Theme = Literal["light", "dark"]

PICTURES = Path(".cache/pictures")
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
THEMES: tuple[Theme, ...] = ("light", "dark")
MISSING = "/nowhere/"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Which of axe's rules are asked: all of them once, and what a theme can break for each theme.
RULES: dict[tuple[str, str], dict[str, Any]] = {
    ("wide", "light"): {"resultTypes": ["violations"]},
    ("wide", "dark"): {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
HUGE = {"message-forty", "message-files", "message-headers"}  # more of the same, and slow to judge


@contextmanager
def open_album(
    browser: "Browser", url: str, size: str, theme: Theme, *, locale: str = "en"
) -> "Iterator[Album]":
    """Give an album of a fresh browser profile; at the end nothing may have been wrong."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale=locale,
        reduced_motion="reduce",
    )
    album = Album(context.new_page(), f"{size}-{theme}", RULES.get((size, theme)))
    yield album
    context.close()
    assert not album.complaints, "\n".join(album.complaints)


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

    def sign_in(self, name: str = "anna") -> None:
        """Fill in the sign-in page, in whatever language it is."""
        self.page.goto(reverse("login"))
        self.page.locator("[name=username]").fill(name)
        self.page.locator("[name=password]").fill(PASSWORD)
        self.page.locator("button[type=submit]").click()
        self.page.locator(".side").wait_for()

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
        self._take(PICTURES / f"{name}-{self.suffix}.png")
        if self.page.evaluate(OVERFLOW) > 0:
            self.complaints.append(f"{name} overflows sideways")
        if self.rules is not None and name not in HUGE:
            self._check(name, self.rules)

    def keep_part(self, name: str, selector: str) -> None:
        """Keep a picture of one part of a page that was looked at already."""
        self.page.locator(selector).screenshot(path=PICTURES / f"{name}-{self.suffix}.png")

    def _take(self, path: Path) -> None:
        """Photograph the whole page on a screen as high as it is: what sticks or fills stays true.

        An open dialog lies over what can be seen, so with it only that is taken.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.page.locator("dialog[open]").count():
            self.page.screenshot(path=path)
            return
        seen = self.page.viewport_size
        assert seen is not None
        height: int = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": seen["width"], "height": max(height, seen["height"])})
        self.page.screenshot(path=path)
        self.page.set_viewport_size(seen)

    def _check(self, name: str, rules: dict[str, Any]) -> None:
        # Here, since the names above are also read where no browser is installed.
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

        for fault in Axe().run(self.page, options=rules).response["violations"]:
            places = ", ".join(node["html"][:100] for node in fault["nodes"][:3])
            self.complaints.append(f"{name}: {fault['id']} ({fault['impact']}): {places}")
