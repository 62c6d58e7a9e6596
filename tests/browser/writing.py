"""Anna at the composer: what every test of it begins with."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outbox.models import Draft

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse"
SAVED_WITHIN = 10  # seconds, on a busy machine; an idle one takes less than two


def sign_in(page: "Page") -> None:
    page.goto("/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Outbox").wait_for()


def write_new(page: "Page") -> None:
    """Sign in and open the composer; its scripts have taken it over when this returns."""
    sign_in(page)
    page.goto("/compose/")
    page.locator("#id_to_entry").wait_for()


@contextmanager
def saved(page: "Page", text: str) -> Iterator[None]:
    """After the block, wait until the draft has this text and the page, still open, its address."""
    yield
    deadline = time.monotonic() + SAVED_WITHIN
    while text not in {kept.strip() for kept in Draft.objects.values_list("text", flat=True)}:
        assert time.monotonic() < deadline, f"{text!r} was not saved; the page says {page.url}"
        page.wait_for_timeout(50)
    if "/compose/" in page.url:
        page.wait_for_url(re.compile(r"/compose/\d+/"))
