"""The operations dashboard in a browser: pictures of it, and how it refreshes itself."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from outbox.db.clock import database_now
from outbox.delivery import snapshot
from outbox.mail.reply_kinds import kind_of_reply
from outbox.mail.server_replies import FailureKind, NormalizedReply, normalized_reply
from outbox.models import (
    Account,
    Alarm,
    AlarmKind,
    Circuit,
    Destination,
    QueueSnapshot,
    Recipient,
    Severity,
    Slot,
    Worker,
)
from outbox.models.delivery_count import CountKey, add
from outbox.models.reply_group import store
from outbox.reasons import Reason, ReasonCode
from tests.browser.album import open_album
from tests.browser.scenes import busy_site
from tests.browser.writing import authenticate, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HIDDEN = "part => part.scrollWidth - part.clientWidth"
PAGE = "/admin/outbox/operations/"
USING = "default"
MINUTE = dt.timedelta(minutes=1)
REPLIES = (
    (550, "5.1.1", "5.1.1 The email account that you tried to reach does not exist, see table 17"),
    (452, "4.2.2", "4.2.2 The recipient's inbox is out of storage space"),
    (550, "5.7.1", "5.7.1 This message looks like spam"),
    (554, "5.7.1", "5.7.1 Client host blocked using zen.spamhaus.org"),
)


def trouble() -> None:
    """Outcomes of an hour, failures of each kind, a blocked destination, workers, an alarm."""
    now = database_now()
    start = now.replace(second=0, microsecond=0)
    groups = [(normalized_reply(*reply), kind_of_reply(*reply)) for reply in REPLIES]
    lost = NormalizedReply(0, "", ReasonCode.CONNECT_TIMEOUT)
    store([*groups, (lost, FailureKind.INFRASTRUCTURE)], USING)
    counts = {}
    for ago in range(1, 58):
        key = CountKey(start - ago * MINUTE, 1, 1, "example.net", "sent", 0)
        counts[key] = 400 + 37 * (ago * 7 % 11)
        if ago % 5 < 2:
            reply, _kind = groups[ago % len(groups)]
            counts[key._replace(outcome="failed", reply_key=reply.key)] = 15 + ago
        if 20 < ago < 34:
            counts[key._replace(outcome="deferred", reply_key=lost.key)] = 90 + 3 * ago
    add(counts, USING)
    destination = Destination.objects.order_by("pk").first()
    assert destination is not None
    Destination.objects.filter(pk=destination.pk).update(
        circuit=Circuit.OPEN,
        circuit_until=now + 5 * MINUTE,
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED),
        circuit_needs_person=True,
    )
    Account.objects.filter(pk=destination.account_id).update(per_minute=60, per_day=2000)
    for number in range(3):
        worker = Worker.objects.create(
            host=f"mail-worker-{number}.example.com",
            pid=4711 + number,
            version="1.4.0",
            started_at=now - 90 * MINUTE,
            heartbeat_at=now - number * MINUTE,
            lease_until=now + (1 - number) * MINUTE,
            ended_at=now if number == 2 else None,
        )
    Slot.objects.create(destination=destination, number=1, worker=worker)
    for kind, severity in (
        (AlarmKind.NO_BEAT, Severity.WARNING),
        (AlarmKind.NO_WORKER, "critical"),
    ):
        Alarm.objects.create(
            kind=kind,
            severity=severity,
            since=now - 9 * MINUTE,
            last_seen=now,
            arguments={"duration": 540},
        )
    waiting = Recipient.objects.filter(next_attempt_at__isnull=False)
    for number, pk in enumerate(waiting.values_list("pk", flat=True)):
        domain = ("gmail.com", "qq.com", "example.net", "outlook.com")[number % 4]
        waiting.filter(pk=pk).update(
            address=f"person{number}@{domain}",
            first_attempt_at=now - (number * 11 % 200) * MINUTE,
        )
    QueueSnapshot.objects.update(next_at=now)
    snapshot.refresh(USING)


def staff(anna: User) -> None:
    User.objects.filter(pk=anna.pk).update(is_staff=True, is_superuser=True)


@pytest.mark.system
@pytest.mark.timeout(600)  # also on a busy machine
def test_it_fits_is_accessible_and_keeps_its_policy(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    staff(anna)
    with open_album(browser, live_server.url) as album:
        album.sign_in()
        album.visit("operations-empty", PAGE)
        busy_site(anna)
        trouble()
        album.visit("operations", f"{PAGE}?period=hour")
        album.visit("operations-week", f"{PAGE}?period=week")


def test_it_refreshes_itself(page: "Page", anna: User) -> None:
    staff(anna)
    sign_in(page)
    page.goto(PAGE)
    page.get_by_text("No alarm is open.").wait_for()
    page.get_by_text("Show the figures as a table").click()
    now = database_now()
    Alarm.objects.create(
        kind=AlarmKind.NO_WORKER, severity=Severity.CRITICAL, since=now, last_seen=now
    )
    page.get_by_text("No worker is running, so nothing").or_(
        page.locator(".outbox-alarm.critical")
    ).first.wait_for()

    assert page.locator("#outcomes-table").get_attribute("open") is not None


def open_busy_dashboard(page: "Page", anna: User) -> None:
    staff(anna)
    with transaction.atomic():
        busy_site(anna)
        trouble()
    authenticate(page)
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(PAGE)


def test_the_account_of_a_destination_is_readable(page: "Page", anna: User) -> None:
    open_busy_dashboard(page, anna)
    table = page.locator(".outbox-destinations")
    width = table.locator("td:nth-child(2)").first.evaluate("cell => cell.offsetWidth")
    scroll = page.locator(".outbox-scroll").filter(has=table)
    hidden = scroll.evaluate(HIDDEN)
    assert width >= 140  # enough for a name and an address, one below the other
    assert hidden <= 0


def test_every_column_of_the_failures_fits(page: "Page", anna: User) -> None:
    open_busy_dashboard(page, anna)
    scroll = page.locator(".outbox-scroll").filter(has=page.locator(".outbox-replies"))
    hidden = [table.evaluate(HIDDEN) for table in scroll.all()]
    assert hidden
    assert max(hidden) <= 0
