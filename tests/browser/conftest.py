"""A real Chromium, driven through Playwright, on the live site.

Playwright keeps an event loop running in this thread, in which asyncio.run is impossible. So the
fixture ends with this folder, and nothing outside may use it.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from dev.tour import write_index, write_texts
from outbox.delivery import connection_tests
from outbox.models import ConnectionTest
from tests.browser.album import PICTURES, TEXTS
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
    """A headless Chromium; without one the test is skipped."""
    found = find_chromium()
    if found is None and os.environ.get("BROWSER_REQUIRED"):
        pytest.fail("No Chromium was found, and BROWSER_REQUIRED asks for one.")
    if found is None:
        pytest.skip("no Chromium found: install chromium, or set CHROMIUM_PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Django would refuse the test's queries because of Playwright's running event loop.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=found,
            # Its sandbox does not start as root. It only displays this site.
            args=["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()
    if PICTURES.exists():
        write_index(PICTURES)
        write_texts(TEXTS, PICTURES)


@pytest.fixture
def page(browser: "Browser", live_server: Any) -> "Iterator[Page]":
    """A page of a fresh browser profile on the live site."""
    context = browser.new_context(base_url=live_server.url, locale="en")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def anna(transactional_db: None) -> User:
    """A user without an account."""
    return User.objects.create_user("anna", password=PASSWORD)


@pytest.fixture
def writer(anna: User) -> User:
    """Anna, with an account whose server does not exist."""
    account(anna)
    return anna


@pytest.fixture
def connection_tester(transactional_db: None) -> Iterator[None]:
    """A thread that makes requested connection tests, as a worker does."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.1):
            if ConnectionTest.objects.filter(started_at=None).exists():
                connection_tests.run_due("default")
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    ended.set()
    thread.join()


def find_chromium() -> str | None:
    """Return the browser's program: CHROMIUM_PATH, else what is on PATH."""
    if named := os.environ.get("CHROMIUM_PATH"):
        return named
    # The others create a whole window for each test, which takes four times the CPU time.
    shells = ("chromium-headless-shell", "chrome-headless-shell")
    names = (*shells, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)
