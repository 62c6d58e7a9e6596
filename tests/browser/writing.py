"""Signing in and writing in the composer, as most browser tests begin."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.urls import reverse

from outbox.models import Draft

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse"
SAVED_WITHIN = 10  # seconds, on a busy machine; an idle one takes less than two


def authenticate(page: "Page", name: str = "anna") -> None:
    """Sign in without displaying a page."""
    login = reverse("login")
    page.request.get(login)
    tokens = [one["value"] for one in page.context.cookies() if one["name"] == "csrftoken"]
    form: dict[str, str | float | bool] = {
        "username": name,
        "password": PASSWORD,
        "csrfmiddlewaretoken": tokens[0],
    }
    response = page.request.post(login, form=form, max_redirects=0)
    assert response.status == 302, f"{name} cannot sign in"


def sign_in(page: "Page", name: str = "anna") -> None:
    """Sign in and open the outbox."""
    authenticate(page, name)
    page.goto("/")
    page.get_by_role("heading", name="Outbox").wait_for()


def write_new(page: "Page") -> None:
    """Sign in and open the composer. Its scripts are running when this returns."""
    authenticate(page)
    page.goto("/compose/")
    page.locator("#id_to_entry").wait_for()


@contextmanager
def saved(page: "Page", text: str) -> Iterator[None]:
    """After the block, wait until the draft has this text and the page has the draft's address."""
    yield
    deadline = time.monotonic() + SAVED_WITHIN
    while text not in {draft.strip() for draft in Draft.objects.values_list("text", flat=True)}:
        assert time.monotonic() < deadline, f"{text!r} was not saved; the page says {page.url}"
        page.wait_for_timeout(50)
    if "/compose/" in page.url:
        page.wait_for_url(re.compile(r"/compose/\d+/"))
