"""An album: pictures and texts of pages, and what is wrong with each page.

A page is loaded once and displayed in each size and theme. It is wrong if it overflows sideways, if
axe finds a fault, or if the browser reports an error of a script or of the page's policy. A page
opened by its address is displayed in Chinese as well. The pictures and texts are stored in
`.cache/pictures`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings

from tests.browser.writing import authenticate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

Theme = Literal["light", "dark"]
Variant = tuple[str, Theme]  # a size and a theme

PICTURES = Path(".cache/pictures")
TEXTS = PICTURES / "texts"
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
EVERY_VARIANT: tuple[Variant, ...] = (
    ("wide", "light"),
    ("wide", "dark"),
    ("narrow", "light"),
    ("narrow", "dark"),
)
CHINESE = "zh-CN"
MISSING = "/nowhere/"
# How far the page overflows sideways, and how high it is.
MEASURE = """() => {
    const { scrollWidth, clientWidth, scrollHeight } = document.documentElement;
    return [scrollWidth - clientWidth, scrollHeight];
}"""
# The text of the page apart from its frame, with what is open over it.
TEXT = """() => Array.from(
    document.querySelectorAll("main, dialog[open], [popover]:popover-open"),
    (part) => part.innerText,
).join("\\n\\n")"""
# Which rules of axe apply: all of them once, and what a theme can break for the other theme.
# Frames are left out: no script runs in them, and axe would wait for each of them.
RULES: dict[tuple[str, str], dict[str, Any]] = {
    ("wide", "light"): {"resultTypes": ["violations"], "iframes": False},
    ("wide", "dark"): {
        "resultTypes": ["violations"],
        "iframes": False,
        "runOnly": ["color-contrast"],
    },
}
HUGE = {"message-forty", "message-files", "message-headers"}  # more of the same, and slow to check


@contextmanager
def open_album(
    browser: "Browser",
    url: str,
    *,
    variants: Sequence[Variant] = EVERY_VARIANT,
    locale: str = "en",
) -> "Iterator[Album]":
    """Yield an album with a new browser profile, whose pages have the first of these variants."""
    size, theme = variants[0]
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale=locale,
        reduced_motion="reduce",
    )
    album = Album(context.new_page(), url, variants, locale)
    yield album
    context.close()
    assert not album.complaints, "\n".join(album.complaints)


class Album:
    """Takes the pictures, stores the texts, and checks each page for faults."""

    def __init__(self, page: "Page", url: str, variants: Sequence[Variant], locale: str) -> None:
        self.page = page
        self.url = url
        self.variants = variants
        self.sizes = list(dict.fromkeys(size for size, _ in variants))
        self.locale = locale
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: "ConsoleMessage") -> None:
        # The console also reports responses with status 404 or 422.
        is_status = "Failed to load resource" in message.text
        if message.type in {"error", "warning"} and not is_status:
            self.complaints.append(message.text)

    def sign_in(self, name: str = "anna") -> None:
        """Sign in without displaying a page."""
        authenticate(self.page, name)

    def visit(self, name: str, address: str) -> None:
        """Open a page and save it; of an English page, save the Chinese text too."""
        if self.locale != CHINESE:
            self._visit_in_chinese(name, address)
        self._open(address)
        self.keep(name)

    def _visit_in_chinese(self, name: str, address: str) -> None:
        """Save the text of a page in Chinese, and check that it fits."""
        cookie = settings.LANGUAGE_COOKIE_NAME
        self.page.context.add_cookies([{"name": cookie, "value": "zh-hans", "url": self.url}])
        self._open(address)
        self.page.locator("html[lang=zh-hans]").wait_for()
        self._keep_text(name, CHINESE)
        for size in reversed(self.sizes):
            self._resize(f"{name} in Chinese", size)
        self.page.context.clear_cookies(name=cookie)

    def _open(self, address: str) -> None:
        response = self.page.goto(address)
        assert response is not None
        assert response.status == (404 if address == MISSING else 200), address

    def keep(self, name: str) -> None:
        """Save the text and pictures of the page as it is, and record its faults."""
        for frame in self.page.locator("iframe:visible").all():
            frame.content_frame.locator("body > *").first.wait_for()
        self._keep_text(name, self.locale)
        for size in self.sizes:
            height = self._resize(name, size)
            self._keep_size(name, size, height)
        self._restore()

    def keep_part(self, name: str, selector: str) -> None:
        """Save pictures of one part of a page that was already saved."""
        part = self.page.locator(selector)
        for size, theme in self.variants:
            self._set_size(*SIZES[size])
            self.page.emulate_media(color_scheme=theme)
            part.screenshot(path=PICTURES / f"{name}-{size}-{theme}.png")
        self._restore()

    def _restore(self) -> None:
        size, theme = self.variants[0]
        self.page.emulate_media(color_scheme=theme)
        self._set_size(*SIZES[size])

    def _keep_size(self, name: str, size: str, height: int) -> None:
        """Save the pictures of one size, each of the whole page.

        The window is made as high as the page, so that sticky parts are where they belong. An open
        dialog covers the window, so with a dialog only the window is taken.
        """
        if not self.page.locator("dialog[open]").count():
            self._set_size(SIZES[size][0], max(height, SIZES[size][1]))
        for theme in (theme for one, theme in self.variants if one == size):
            self.page.emulate_media(color_scheme=theme)
            self.page.screenshot(path=PICTURES / f"{name}-{size}-{theme}.png")
            if (size, theme) in RULES and name not in HUGE:
                self._check(name, RULES[size, theme])

    def _resize(self, name: str, size: str) -> int:
        """Resize the window, check that the page fits in it, and return the page's height."""
        self._set_size(*SIZES[size])
        overflow, height = self.page.evaluate(MEASURE)
        if overflow > 0:
            self.complaints.append(f"{name} overflows sideways ({size})")
        return int(height)

    def _set_size(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def _keep_text(self, name: str, locale: str) -> None:
        folder = TEXTS / locale.partition("-")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(self.page.evaluate(TEXT))

    def _check(self, name: str, rules: dict[str, Any]) -> None:
        # Imported here, since the names above are also used where no browser is installed.
        from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

        for fault in Axe().run(self.page, options=rules).response["violations"]:
            places = ", ".join(node["html"][:100] for node in fault["nodes"][:3])
            self.complaints.append(f"{name}: {fault['id']} ({fault['impact']}): {places}")
