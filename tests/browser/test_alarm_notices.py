"""Open alarms at the top of a page, for staff: they fit, in both themes and in Chinese."""

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from outbox.db.clock import database_now
from outbox.models import Alarm
from tests.browser.album import PICTURES, open_album
from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALARMS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("no_worker", "", "critical", {}),
    (
        "account_blocked",
        "7",
        "warning",
        {
            "server": "smtp.example.com:587",
            "account": "Newsletter of the shop",
            "duration": 5_400,
            "reason": "login_rejected",
        },
    ),
    (
        "disk_space",
        "mail1:storage",
        "warning",
        {"host": "mail1", "path": "/srv/media", "free": 734_003_200, "least": 1 << 30},
    ),
    ("uncertain", "", "warning", {"count": 3, "duration": 7_200}),
)


@pytest.mark.system
@pytest.mark.django_db(transaction=True)
def test_alarms_fit_on_pages_and_in_the_admin(browser: "Browser", live_server: Any) -> None:
    User.objects.create_superuser("anna", password=PASSWORD)
    now = database_now("default")
    for kind, key, severity, arguments in ALARMS:
        row = {"kind": kind, "key": key, "severity": severity, "arguments": arguments}
        Alarm.objects.create(**row, since=now, last_seen=now)
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("alarms", "/contacts/")
        notices = album.page.locator(".alarm-notice")
        assert notices.count() == 3
        assert "No worker is running" in notices.first.inner_text()
        notices.first.get_by_role("link", name="Show details").click()
        album.page.wait_for_url("**/admin/outbox/worker/")
        assert album.page.locator(".messagelist li").count() == 4
        album.page.screenshot(path=PICTURES / "alarms-admin.png")
