"""A real Chromium, driven through Playwright, on the live site.

Playwright keeps an event loop running in this thread, so nothing outside this folder may use it:
the fixture ends with the folder, and no test beside a browser's could call asyncio.run.
"""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from dev.tour import write_index
from tests.browser.album import PICTURES
from tests.browser.scenes import account
from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> "Iterator[Browser]":
    """A headless Chromium; the test is skipped where there is none."""
    found = find_chromium()
    if found is None and os.environ.get("BROWSER_REQUIRED"):
        pytest.fail("No Chromium was found, and BROWSER_REQUIRED asks for one.")
    if found is None:
        pytest.skip("no Chromium found: install chromium, or set CHROMIUM_PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Django takes Playwright's loop for an async caller and would refuse the test's queries.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=found,
            # Its own sandbox does not start as root; it only ever sees this site.
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()
    if PICTURES.exists():
        write_index(PICTURES)


@pytest.fixture
def page(browser: "Browser", live_server: Any) -> "Iterator[Page]":
    """A page of a fresh browser profile on the live site."""
    context = browser.new_context(base_url=live_server.url, locale="en")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def writer(transactional_db: None) -> User:
    """Anna, with an account whose mail goes nowhere."""
    anna = User.objects.create_user("anna", password=PASSWORD)
    account(anna)
    return anna


def find_chromium() -> str | None:
    """Return the browser's program: CHROMIUM_PATH, else what is on PATH."""
    if named := os.environ.get("CHROMIUM_PATH"):
        return named
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)
