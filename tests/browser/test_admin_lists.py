"""Lists of the admin in a browser: every column fits beside both side bars."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from outbox import api
from outbox.db.clock import database_now
from outbox.models import Account, Destination, Mailbox
from outbox.reasons import Reason, ReasonCode
from tests.browser.album import SIZES
from tests.browser.scenes import busy_site
from tests.browser.test_operations import staff, trouble
from tests.browser.writing import authenticate

if TYPE_CHECKING:
    from playwright.sync_api import Page

# How far the table of the list is wider than its place, and how far the page is.
OVERFLOW = """() => [document.querySelector("#result_list").parentElement, document.documentElement]
    .map((part) => part.scrollWidth - part.clientWidth)"""


def fill(anna: User) -> None:
    """Store an unused and a paused destination, and mailboxes whose login the server rejects."""
    busy_site(anna)
    trouble()
    now = database_now()
    site = "mx:a-long-name-of-a-site.mail.protection.example.com"
    account = Account.objects.get(name="Work")
    Destination.objects.create(account=account, key=site)
    api.pause(account, reason="Maintenance of the mail server until Monday", actor=anna)
    for row in Account.objects.all():
        Mailbox.objects.create(
            account=row,
            host="a-long-server-name-of-the-provider.example.com",
            next_fetch_at=now + dt.timedelta(days=1),
            fetched_at=now,
            failures=3,
            reason=Reason(ReasonCode.LOGIN_REJECTED),
        )


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_column_fits(language: str, page: "Page", live_server: Any, anna: User) -> None:
    staff(anna)
    fill(anna)
    authenticate(page, "anna")
    cookie = {"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": live_server.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    found = {}
    for name in (
        "account",
        "alarm",
        "auditentry",
        "destination",
        "mailbox",
        "message",
        "recipient",
    ):
        page.goto(f"/admin/outbox/{name}/")
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            of_list, of_page = page.evaluate(OVERFLOW)
            if of_page > 0 or (size == "wide" and of_list > 0):  # a narrow list is scrolled
                found[name, size] = of_list, of_page
    assert found == {}
